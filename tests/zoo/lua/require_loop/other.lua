require "another"

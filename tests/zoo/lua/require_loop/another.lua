require "other"

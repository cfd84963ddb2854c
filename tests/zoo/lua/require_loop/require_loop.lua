-- Requires what requires it.
sv.script {summary = "requires without end"}
require "other"

-- No Lua.
sv.script {summary = "is no Lua"

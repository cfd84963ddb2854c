-- Announcements to all accounts of a host, or to those on line: by `stave announce`, or by an admin's message to
-- HOST/announce/all or HOST/announce/online.
sv.script {summary = "Announcements to all accounts", changes = {"message/host"}, stores = {"running"}, sends = {"host"}}

local HOST, PAGE, PAUSE_MS, RETRY_MS, RUNNING_MAX = "/host", 20, 5, 1000, 10
local running = sv.store("running") -- HOST, number -> an announcement and the account that it has come to, as JSON

local function tell(ev, job, names)
    local message = ev:with_attrs({"message", (job.subject or "") ~= "" and {"subject", job.subject}, {"body", job.text}}, {from = sv.host()})
    for _, name in ipairs(names) do
        local to = name .. "@" .. sv.host()
        if job.who == "all" then
            ev:route(ev:with_attrs(message, {to = to}))
        elseif ev:session_next(to) then
            ev:route(ev:with_attrs(message, {to = to, type = "headline"})) -- is not kept for who has just left
        end
    end
end

-- One page of accounts, then a pause in which others have their turn. Noted is where a page begins: after a crash or a
-- reload in the midst of one it comes a second time, rather than not at all.
local function go_on(ev, number)
    local job = sv.self.jobs[number]
    local names = sv.accounts(job.after, PAGE)
    if names and not names[1] then
        sv.self.jobs[number] = nil
        running:del(HOST, number)
        return sv.log("info", "announced", {number = number})
    end
    running:put(HOST, number, sv.json.encode(job))
    if names then tell(ev, job, names) end
    job.after = names and names[#names] or job.after
    sv.after(names and PAUSE_MS or RETRY_MS, function(later) go_on(later, number) end)
end

local function start(number, job)
    if sv.self.jobs[number] then return end
    sv.self.jobs[number] = job
    sv.after(1, function(ev) go_on(ev, number) end)
end

sv.start(function() sv.self.jobs = {} end)

local function resume() -- what a restart or a reload has interrupted
    local rows = running:rows(HOST)
    if rows then
        for number, row in rows:pairs() do start(number, sv.json.decode(row)) end
    else
        sv.after(RETRY_MS, resume)
    end
end
sv.after(1, resume)

-- True if it has begun, else nil and why not.
local function begin(ev, job)
    local number, count = ("%013d-%s"):format(sv.now_ms(), ev:random_hex(4)), 0
    for _ in pairs(sv.self.jobs) do count = count + 1 end
    if count >= RUNNING_MAX then return nil, "so many announcements are under way already: wait until one is through" end
    if not running:put(HOST, number, sv.json.encode(job)) then return nil, "the announcement can't be stored: use a shorter text" end
    sv.log("info", "announcing", {number = number, who = job.who})
    start(number, job)
    return true
end

sv.on("message/host", function(ev)
    local who = ({["announce/all"] = "all", ["announce/online"] = "online"})[ev:to().resource or ""]
    if not who or ev:type() == "error" then return end
    if not ev:is_admin(ev:from()) then return ev:refuse("forbidden") end
    local text = ev:root():text_of("body")
    if not text or not text:find("%S") then return ev:refuse("bad-request", "There is no body to announce") end
    local ok, why = begin(ev, {who = who, subject = ev:root():text_of("subject"), text = text})
    if not ok then return ev:refuse("resource-constraint", why) end
    return ev:consume()
end)

local function command(who, summary)
    sv.command {"announce " .. who, summary = summary, examples = "announce " .. who .. " --host example.org Back in ten minutes.",
        args = {{"text", kind = "string", required = true, rest = true, manual = "the text"},
                {"subject", kind = "string", option = true, manual = "its subject"},
                {"host", kind = "host", option = true, manual = "on which host, if several make announcements"}},
        changes = true, stores = true,
        run = function(ev)
            if not ev:arg_text("text"):find("%S") then return ev:fail("usage", "the text is empty: say what is announced") end
            local ok, why = begin(ev, {who = who, subject = ev:arg_text("subject"), text = ev:arg_text("text")})
            return ok and ev:answer() or ev:fail("refused", why)
        end}
end

command("all", "send a message to all accounts of a host")
command("online", "send a message to the accounts that are on line")

-- Sends the requests of a file in turn: a line is a path, a tab and a token.
-- With "once" the run ends where the file does.
local requests, at, once = {}, 0, false
wrapped = 0

function setup(thread)
   threads = threads or {}
   table.insert(threads, thread)
end

function init(args)
   once = args[2] == "once"
   for line in io.lines(args[1]) do
      local path, token = line:match("^(%S+)\t(%S+)$")
      wrk.headers["Authorization"] = "Bearer " .. token
      table.insert(requests, wrk.format("GET", path))
   end
end

function request()
   at = at + 1
   if at > #requests then
      at, wrapped = 1, wrapped + 1
      if once then wrk.thread:stop() end
   end
   return requests[at]
end

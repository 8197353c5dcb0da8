-- shell: commands and files for specs. A file is read by fastr.files.read.

local M = {}

--- Runs a command: its exit code, and what it said on both outputs. What it leaves in the background must have its
--- outputs elsewhere, or this waits for it.
function M.run(command)
  local pipe = assert(io.popen(command .. " 2>&1; echo \"exit $?\""))
  local output = pipe:read("*a")
  pipe:close()
  local text, code = output:match("^(.-)exit (%d+)\n$")
  return tonumber(code), text
end

--- Runs a command that has to succeed: what it said, without the line ends at its end.
function M.must(command)
  local code, text = M.run(command)
  if code ~= 0 then error(command .. ": " .. text, 2) end
  return (text:gsub("%s+$", ""))
end

--- The lines that a command says, which has to succeed.
function M.lines(command)
  local list = {}
  for line in M.must(command):gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

--- Writes a file beside its place and moves it there whole: who watches it never sees a part.
function M.write(path, text)
  local file = assert(io.open(path .. ".new", "w"))
  assert(file:write(text))
  file:close()
  assert(os.rename(path .. ".new", path))
end

return M

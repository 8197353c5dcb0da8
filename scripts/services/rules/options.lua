-- options: the words of a command line (platform/options.lua), and the files that they name.

local words = require "platform.options"

local M = { read = words.read, time = words.time }

-- The text of the file at `path`, or nil and why it cannot be read.
function M.text(path)
  local file, message = io.open(path, "r")
  if not file then return nil, message end
  local text = file:read("*a")
  file:close()
  if not text then return nil, path .. ": cannot be read" end
  return text
end

-- Replaces a file, in one piece: true; or nil and why not, with the old one left as it is (a full disk is told only
-- when the file is closed). What it writes first is hidden: who reads the folder meanwhile takes it for no rule.
function M.write(path, text)
  local new = path:gsub("[^/]+$", ".%0.new")
  local file, message = io.open(new, "w")
  if not file then return nil, message end
  local done
  done, message = file:write(text)
  if done then done, message = file:close() else file:close() end
  if done then done, message = os.rename(new, path) end
  if done then return true end
  os.remove(new)
  return nil, path .. ": " .. message
end

return M

-- bundle: the stored form of a pack (runtime/bundle.h) as a text: its files, and its hash.

local M = {}

local HEAD = "fastr bundle 1\n"

-- Without "sha256:".
function M.hash(text)
  return fastr.crypto.sha256(text)
end

-- List of { name, text } in the order of names; or nil and what is wrong.
function M.files(text)
  if text:sub(1, #HEAD) ~= HEAD then return nil, "it does not begin with \"fastr bundle 1\"" end
  local files, at = {}, #HEAD + 1
  while at <= #text do
    local name, size, start = text:match("^(%S+) (%d+)\n()", at)
    local stop = name and start + tonumber(size)
    if not name or text:sub(stop, stop) ~= "\n" then return nil, "it is broken at byte " .. at end
    if #files > 0 and files[#files].name >= name then return nil, name .. " is out of order" end
    files[#files + 1] = { name = name, text = text:sub(start, stop - 1) }
    at = stop + 1
  end
  if #files == 0 then return nil, "there is no file in it" end
  return files
end

return M

-- bundle: the stored form of a pack (runtime/bundle.h) as a text: its files, and its hash.

local M = {}

local HEAD = "fastr bundle 1\n"
local FILES_MOST, FILE_MOST, NAME_MOST = 4096, 256 * 1024, 255 -- as in runtime/bundle.c: a host would not take more

-- Without "sha256:".
function M.hash(text)
  return fastr.crypto.sha256(text)
end

-- What is wrong with a file of the stored form, which comes after `before` (a name, or nil); nil if nothing is.
local function refused(name, size, before, number)
  if #name > NAME_MOST or name:find("%c") or ("/" .. name .. "/"):find("/%.*/") then
    return name:sub(1, 40):gsub("%c", "?") .. " is no name of a file"
  end
  if before and before >= name then return name .. " is out of order" end
  if tonumber(size) > FILE_MOST then return ("%s has more than %d bytes"):format(name, FILE_MOST) end
  if size:find("^0.") then return name .. ": its size begins with a zero" end
  if number > FILES_MOST then return ("there are more than %d files in it"):format(FILES_MOST) end
end

-- List of { name, text } in the order of names; or nil and what is wrong: whatever a host would not take.
function M.files(text)
  if text:sub(1, #HEAD) ~= HEAD then return nil, "it does not begin with \"fastr bundle 1\"" end
  local files, at = {}, #HEAD + 1
  while at <= #text do
    local name, size, start = text:match("^(%S+) (%d+)\n()", at)
    local stop = name and start + tonumber(size)
    if not name or text:sub(stop, stop) ~= "\n" then return nil, "it is broken at byte " .. at end
    local wrong = refused(name, size, #files > 0 and files[#files].name, #files + 1)
    if wrong then return nil, wrong end
    files[#files + 1] = { name = name, text = text:sub(start, stop - 1) }
    at = stop + 1
  end
  if #files == 0 then return nil, "there is no file in it" end
  return files
end

return M

-- mime: the text of a mail: headers (RFC 5322, RFC 2047) and a body in plain text and HTML (RFC 2045, RFC 2046).
-- Pure Lua. Takes UTF-8 and gives ASCII with CRLF line ends and lines of at most 76 characters. No text that is given
-- here can begin a header of its own: control characters become blanks before anything is written.

local M = {}

local LINE = 76          -- RFC 2045 section 6.7, RFC 2047 section 2
local WORD = 60          -- of an encoded word, so that the first fits beside the name of its header
local CHARACTER = "[%z\1-\127\194-\244][\128-\191]*"
local MONTHS = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }
local DAYS = { [0] = "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local SHIFT = { 0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4 }

local function hex(byte)
  return string.format("=%02X", byte:byte())
end

-- One line of harmless text: control characters and runs of blanks become one blank; what turns the direction of
-- writing or separates lines in Unicode is left out, because a mail reader would obey it.
function M.plain(text)
  text = text:gsub("[%c]", " "):gsub("\194[\128-\159]", " ")
  text = text:gsub("\226\128[\142\143\168-\174]", ""):gsub("\226\129[\166-\169]", "")
  return (text:gsub(" +", " "):gsub("^ ", ""):gsub(" $", ""))
end

-- ---- headers ------------------------------------------------------------------------------------------------------

-- A text as encoded words (RFC 2047, the form Q), folded; no character is split between two of them.
local function encoded_words(text)
  local words, word, room = {}, {}, WORD - #"=?UTF-8?Q??="
  for character in text:gmatch(CHARACTER) do
    local code = character == " " and "_" or character:gsub("[^%w!*+/-]", hex)
    if #code > room then
      words[#words + 1] = "=?UTF-8?Q?" .. table.concat(word) .. "?="
      word, room = {}, WORD - #"=?UTF-8?Q??="
    end
    word[#word + 1] = code
    room = room - #code
  end
  words[#words + 1] = "=?UTF-8?Q?" .. table.concat(word) .. "?="
  return table.concat(words, "\r\n ")
end

-- mime.unstructured(text): the value of a header such as Subject.
function M.unstructured(text)
  text = M.plain(text)
  if #text <= WORD and not text:find("[^\32-\126]") and not text:find("=?", 1, true) then return text end
  return encoded_words(text)
end

-- mime.mailbox(address, name): the value of a header such as To. The address is name@host as lib.shape's email has it;
-- the name may be nil or empty. Raises for an address with a character that would need quoting.
function M.mailbox(address, name)
  if not address:find("^[%w!#$%%&'*+/=?^_`{|}~.-]+@[%w.-]+$") then error("mime.mailbox: not a plain address", 2) end
  name = M.plain(name or "")
  if name == "" then return address end
  if #name <= WORD and not name:find("[^%w '!*+/-]") then return name .. " <" .. address .. ">" end
  return encoded_words(name) .. "\r\n <" .. address .. ">"
end

-- mime.date("2026-11-23T12:34:56.789Z") -> "Mon, 23 Nov 2026 12:34:56 +0000". Takes the UTC texts of fastr.time.
function M.date(time)
  local y, m, d, clock = time:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)T(%d%d:%d%d:%d%d)[%.%d]*Z$")
  if not y then error("mime.date: no UTC time of RFC 3339: " .. time, 2) end
  y, m, d = tonumber(y), tonumber(m), tonumber(d)
  local year = m < 3 and y - 1 or y
  local day = (year + math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400) + SHIFT[m] + d) % 7
  return string.format("%s, %02d %s %04d %s +0000", DAYS[day], d, MONTHS[m], y, clock)
end

-- ---- body ---------------------------------------------------------------------------------------------------------

-- One line as quoted-printable, with soft breaks; a blank at its end is encoded, because servers cut blanks off.
local function quoted_line(line)
  line = line:gsub("[^\9\32-\60\62-\126]", hex):gsub("[\9 ]$", hex)
  local out, at = {}, 1
  while #line - at + 1 > LINE do
    local ends = at + LINE - 2 -- the break is a character, too, and no code is split
    if line:sub(ends, ends) == "=" then
      ends = ends - 1
    elseif line:sub(ends - 1, ends - 1) == "=" then
      ends = ends - 2
    end
    out[#out + 1] = line:sub(at, ends)
    at = ends + 1
  end
  out[#out + 1] = line:sub(at)
  return table.concat(out, "=\r\n")
end

-- mime.quoted_printable(text): RFC 2045 section 6.7. Line ends of any kind become CRLF.
function M.quoted_printable(text)
  local lines = {}
  for line in (text:gsub("\r\n?", "\n") .. "\n"):gmatch("([^\n]*)\n") do lines[#lines + 1] = quoted_line(line) end
  return table.concat(lines, "\r\n")
end

local function part(kind, text)
  return "Content-Type: text/" .. kind .. "; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" ..
    M.quoted_printable(text) .. "\r\n"
end

-- mime.alternative(mail): the whole message, as text and as HTML (RFC 2046 section 5.1.4).
--   from, to: values of mime.mailbox; subject: UTF-8; date: a time of fastr.time; id: "LEFT@HOST", unique for ever;
--   language: "en"; text, html: UTF-8.
-- The boundary needs no search: quoted-printable has no "=_".
function M.alternative(mail)
  local boundary = "=_" .. mail.id:gsub("[^%w]", ""):sub(1, 40)
  return table.concat({
    "From: " .. mail.from, "To: " .. mail.to, "Subject: " .. M.unstructured(mail.subject),
    "Date: " .. M.date(mail.date), "Message-ID: <" .. mail.id .. ">", "MIME-Version: 1.0",
    "Auto-Submitted: auto-generated", -- RFC 3834: nobody's absence answers it
    "Content-Language: " .. mail.language,
    'Content-Type: multipart/alternative; boundary="' .. boundary .. '"', "",
    "--" .. boundary, part("plain", mail.text) .. "--" .. boundary, part("html", mail.html) .. "--" .. boundary .. "--",
    "" }, "\r\n")
end

return M

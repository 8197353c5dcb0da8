-- art: a picture of a product, drawn from its name: the thing that it names last, in the colour that it names, on a
-- quiet ground. The same name always gives the same picture. Pure.

local M = {}

-- ---- colours ------------------------------------------------------------------------------------------------------

-- ground, thing, its second colour, its lines
local PALETTES = {
  { "#f6ece1", "#c8553d", "#f2b880", "#588b8b" }, { "#e8efe9", "#4f7c6a", "#e9c46a", "#264653" },
  { "#f3e9ee", "#a5668b", "#f1c4c8", "#513b56" }, { "#e7eef4", "#4d7ea8", "#f0b67f", "#2b3a55" },
  { "#f4f0e1", "#b08d3c", "#e7cf8f", "#5b4a2f" }, { "#ecebf5", "#6c648b", "#f5c3af", "#3a3557" },
  { "#eaf2ef", "#3d8f86", "#f4d58d", "#234e52" }, { "#f8ebe8", "#d1495b", "#edae49", "#66324b" },
}

local NAMED = { RED = "#c8372d", PINK = "#e08aa8", BLUE = "#4a7fb5", GREEN = "#5a8f5c", WHITE = "#fbfaf6",
  IVORY = "#f5edd8", CREAM = "#f3e6c4", BLACK = "#3b3a40", SILVER = "#b9bec6", GOLD = "#c9a227", PURPLE = "#7d5ba6",
  YELLOW = "#eec643", ORANGE = "#e58a3c", BROWN = "#8a6242", GREY = "#9aa0a6", TURQUOISE = "#3fb3b0", ZINC = "#a7b0b5",
  WOODEN = "#b98555", WOOD = "#b98555", GLASS = "#bfe0e6", COPPER = "#b87350", LILAC = "#b79fd0" }

local function number_of(text)
  return tonumber(fastr.crypto.sha256(text):sub(1, 7), 16)
end

local function colours_of(name, words)
  local palette = PALETTES[number_of(name) % #PALETTES + 1]
  local named
  for _, word in ipairs(words) do named = named or NAMED[word] end
  return { ground = palette[1], main = named or palette[2], second = palette[3], line = palette[4] }
end

-- ---- shapes -------------------------------------------------------------------------------------------------------

local function path(d, fill, line, width)
  return ('<path d="%s" fill="%s"%s/>'):format(d, fill,
    line and (' stroke="%s" stroke-width="%d" stroke-linejoin="round" '
    .. 'stroke-linecap="round"'):format(line, width or 5) or "")
end

local function rect(x, y, w, h, r, fill, line)
  return ('<rect x="%d" y="%d" width="%d" height="%d" rx="%d" fill="%s"%s/>'):format(x, y, w, h, r, fill,
    line and (' stroke="%s" stroke-width="5"'):format(line) or "")
end

local function circle(x, y, r, fill, line)
  return ('<circle cx="%d" cy="%d" r="%d" fill="%s"%s/>'):format(x, y, r, fill,
    line and (' stroke="%s" stroke-width="5"'):format(line) or "")
end

local HEART = "M120 178C60 138 58 92 88 82c16-5 28 6 32 18 4-12 16-23 32-18 30 10 28 56-32 96z"

-- Each is drawn in the middle of 240 by 240, in the colours c.
local THINGS = {
  heart = function(c) return path(HEART, c.main, c.line) end,
  star = function(c)
    return path("M120 58l19 42 46 5-34 31 9 46-40-23-40 23 9-46-34-31 46-5z", c.main, c.line)
  end,
  mug = function(c)
    return path("M156 104h16a18 18 0 0 1 0 44h-16", "none", c.line, 9) .. rect(76, 84, 82, 84, 14, c.main, c.line)
      .. path("M76 112h82", "none", c.second, 9)
        .. path("M100 70c-6-10 6-14 0-24M124 70c-6-10 6-14 0-24", "none", c.second)
  end,
  pot = function(c)
    return path("M160 116c24-4 24-28 34-30", "none", c.line, 10) .. path("M80 112c-30-6-30 40 2 36", "none", c.line, 9)
      .. path("M78 106c0-20 84-20 84 0 8 30 4 60-16 62H94c-20-2-24-32-16-62z", c.main, c.line)
      .. circle(120, 80, 8, c.second, c.line)
  end,
  candle = function(c)
    return path("M120 52c14 16 12 28 0 30-12-2-14-14 0-30z", c.second, c.line)
      .. rect(98, 88, 44, 88, 6, c.main, c.line)
      .. path("M98 104c10 12 14-8 22 4 8 10 12-8 22 2", "none", c.line, 4)
  end,
  lantern = function(c)
    return path("M100 66c0-26 40-26 40 0", "none", c.line, 6) .. path("M84 82l14-18h44l14 18z", c.main, c.line)
      .. rect(90, 82, 60, 84, 4, c.second, c.line) .. path("M120 82v84M90 124h60", "none", c.line, 4)
      .. path("M120 100c10 12 8 24 0 26-8-2-10-14 0-26z", c.main) .. rect(80, 166, 80, 12, 4, c.main, c.line)
  end,
  lamp = function(c)
    return path("M92 60h56l22 60H70z", c.main, c.line) .. path("M120 120v48", "none", c.line, 8)
      .. path("M88 176c4-14 60-14 64 0z", c.second, c.line)
  end,
  bag = function(c)
    return path("M94 96c0-44 52-44 52 0", "none", c.line, 8) .. path("M74 92h92l10 88H64z", c.main, c.line)
      .. circle(104, 128, 8, c.second) .. circle(138, 146, 8, c.second) .. circle(120, 166, 6, c.second)
  end,
  box = function(c)
    return rect(66, 100, 108, 76, 6, c.main, c.line) .. rect(58, 80, 124, 26, 6, c.second, c.line)
      .. rect(108, 118, 24, 18, 4, c.ground, c.line)
  end,
  gift = function(c)
    return rect(68, 104, 104, 74, 4, c.main, c.line) .. rect(60, 84, 120, 24, 4, c.main, c.line)
      .. rect(110, 84, 20, 94, 0, c.second)
        .. path("M120 84c-40-4-34-40-8-28 6 4 8 18 8 28 0-10 2-24 8-28 26-12 32 24-8 28z",
      c.second, c.line)
  end,
  clock = function(c)
    return circle(120, 120, 62, c.main, c.line) .. circle(120, 120, 46, c.ground)
      .. path("M120 88v32l22 14", "none", c.line, 6) .. circle(120, 120, 5, c.second)
  end,
  frame = function(c)
    return rect(64, 60, 112, 120, 6, c.main, c.line) .. rect(82, 78, 76, 84, 2, c.ground, c.line)
      .. path("M84 160l24-34 18 20 14-14 16 28z", c.second) .. circle(136, 98, 9, c.second)
  end,
  mirror = function(c)
    return path("M120 48c44 0 58 44 58 72s-14 72-58 72-58-44-58-72 14-72 58-72z", c.main, c.line)
      .. path("M120 66c32 0 42 32 42 54s-10 54-42 54-42-32-42-54 10-54 42-54z", c.ground)
      .. path("M98 142l34-44M112 154l34-44", "none", c.second, 6)
  end,
  sign = function(c)
    return path("M92 86l28-34 28 34", "none", c.line, 4) .. rect(54, 86, 132, 76, 8, c.main, c.line)
      .. path("M76 112h88M76 136h60", "none", c.second, 8)
  end,
  plate = function(c)
    return circle(120, 120, 66, c.main, c.line) .. circle(120, 120, 42, c.second, c.line)
      .. circle(120, 120, 28, c.ground)
  end,
  bowl = function(c)
    return path("M58 104h124c0 48-26 70-62 70s-62-22-62-70z", c.main, c.line)
      .. path("M66 122h108", "none", c.second, 8)
      .. rect(96, 172, 48, 10, 4, c.line)
  end,
  cake = function(c)
    return path("M70 122c0-50 100-50 100 0z", c.second, c.line) .. path("M74 122h92l-14 56H88z", c.main, c.line)
      .. path("M96 124l6 52M120 124v52M144 124l-6 52", "none", c.line, 3) .. circle(120, 76, 10, c.main, c.line)
  end,
  bottle = function(c)
    return path("M108 50h24v34c20 10 22 26 22 40v46c0 6-4 10-10 10H96c-6 0-10-4-10-10v-46c0-14 2-30 22-40z", c.main,
      c.line)
      .. rect(94, 122, 52, 32, 4, c.second) .. rect(106, 42, 28, 14, 3, c.line)
  end,
  jar = function(c)
    return rect(80, 84, 80, 96, 16, c.main, c.line) .. rect(86, 62, 68, 22, 6, c.second, c.line)
      .. rect(94, 110, 52, 36, 4, c.ground, c.line)
  end,
  bird = function(c)
    return path("M66 132c0-40 44-62 78-40l34-8-20 22c6 44-26 66-58 66-20 0-34-14-34-40z", c.main, c.line)
      .. path("M92 126c18-14 40-8 44 12-18 14-36 10-44-12z", c.second, c.line) .. circle(146, 106, 5, c.line)
      .. path("M108 172v16M128 170v18", "none", c.line)
  end,
  flower = function(c)
    local out = path("M120 132v56M120 170c-20-4-26-16-26-24 18 0 26 10 26 24z", "none", c.line, 6)
    for i = 0, 5 do
      local a = i * math.pi / 3
      out = out .. circle(120 + math.floor(31 * math.cos(a)), 102 + math.floor(31 * math.sin(a)), 18, c.main, c.line)
    end
    return out .. circle(120, 102, 16, c.second, c.line)
  end,
  tree = function(c)
    return rect(110, 158, 20, 26, 2, c.line)
      .. path("M120 48l36 46h-18l30 36h-18l26 32H64l26-32H72l30-36H84z", c.main, c.line)
      .. circle(110, 104, 6, c.second) .. circle(132, 132, 6, c.second) .. circle(100, 146, 6, c.second)
  end,
  beads = function(c)
    local out = path("M62 76c0 130 116 130 116 0", "none", c.line, 4)
    for i = 0, 8 do
      local t = i / 8
      local x, y = 62 + 116 * t, 76 + 4 * 97 * t * (1 - t)
      out = out .. circle(math.floor(x), math.floor(y), i % 2 == 0 and 12 or 9, i % 2 == 0 and c.main or c.second,
        c.line)
    end
    return out
  end,
  earrings = function(c)
    return path("M88 64v30M152 64v30", "none", c.line, 4) .. circle(88, 60, 6, c.line) .. circle(152, 60, 6, c.line)
      .. path("M88 94c26 30 20 62 0 62s-26-32 0-62z", c.main, c.line)
        .. path("M152 94c26 30 20 62 0 62s-26-32 0-62z", c.main, c.line)
  end,
  ring = function(c)
    return circle(120, 138, 44, "none", c.line) .. circle(120, 138, 38, "none", c.main)
      .. path("M98 84l10-18h24l10 18-22 26z", c.second, c.line)
  end,
  card = function(c)
    return rect(60, 74, 120, 92, 6, c.main, c.line) .. path("M62 80l58 46 58-46", "none", c.line)
      .. path("M120 142c-20-12-12-26 0-18 12-8 20 6 0 18z", c.second)
  end,
  paper = function(c)
    return path("M70 72h78l24 24v90H70z", c.main, c.line) .. path("M148 72v24h24", c.second, c.line)
      .. path("M88 120h64M88 140h64M88 160h40", "none", c.second, 6)
  end,
  book = function(c)
    return rect(72, 58, 100, 126, 6, c.main, c.line) .. rect(72, 58, 18, 126, 4, c.second, c.line)
      .. rect(104, 82, 52, 30, 3, c.ground, c.line)
  end,
  pencil = function(c)
    return path("M158 56l26 26-90 90-36 10 10-36z", c.main, c.line) .. path("M68 146l26 26", "none", c.line)
      .. path("M144 70l26 26", "none", c.second, 9)
  end,
  cushion = function(c)
    return path("M64 70c36 10 76 10 112 0-8 34-8 66 0 100-36-10-76-10-112 0 8-34 8-66 0-100z", c.main, c.line)
      .. path("M120 150C84 126 82 102 100 96c10-3 17 4 20 12 3-8 10-15 20-12 18 6 16 30-20 54z", c.second)
  end,
  umbrella = function(c)
    return path("M54 122c6-80 126-80 132 0-14-12-30-12-44 0-14-12-30-12-44 0-14-12-30-12-44 0z", c.main, c.line)
      .. path("M120 60v106c0 20 26 20 26 2", "none", c.line, 6)
  end,
  garland = function(c)
    local out = path("M44 84c50 44 102 44 152 0", "none", c.line, 4)
    for i, at in ipairs { { 58, 96 }, { 88, 112 }, { 120, 118 }, { 152, 112 }, { 180, 96 } } do
      out = out .. path(("M%d %dh24l-12 40z"):format(at[1] - 12, at[2] - 2), i % 2 == 1 and c.main or c.second,
        c.line, 4)
    end
    return out
  end,
  hook = function(c)
    return rect(94, 56, 52, 34, 8, c.main, c.line) .. path("M120 90v48c0 36-50 36-50 4", "none", c.line, 10)
      .. circle(70, 136, 10, c.second, c.line)
  end,
  egg = function(c)
    return path("M120 52c34 0 54 46 54 78 0 30-22 52-54 52s-54-22-54-52c0-32 20-78 54-78z", c.main, c.line)
      .. path("M70 112l16-12 16 12 18-12 18 12 16-12 16 12M68 142h104", "none", c.second, 7)
  end,
  rabbit = function(c)
    return path("M98 108c-24-60 8-72 16-12M142 108c24-60-8-72-16-12", c.main, c.line)
      .. circle(120, 138, 46, c.main, c.line)
      .. circle(104, 130, 5, c.line) .. circle(136, 130, 5, c.line) .. path("M112 150l8 6 8-6", c.second, c.line)
  end,
  butterfly = function(c)
    return path("M120 120c-60-76-92-20-54 8-30 40 34 64 54-8z", c.main, c.line)
      .. path("M120 120c60-76 92-20 54 8 30 40-34 64-54-8z", c.main, c.line) .. path("M120 92v68", "none", c.line, 7)
      .. circle(88, 112, 9, c.second) .. circle(152, 112, 9, c.second)
  end,
  doll = function(c)
    return path("M120 48c28 0 34 34 20 52 40 16 44 82 0 84h-40c-44-2-40-68 0-84-14-18-8-52 20-52z", c.main, c.line)
      .. circle(120, 78, 20, c.ground, c.line) .. circle(120, 146, 20, c.second, c.line) .. circle(113, 76, 3, c.line)
      .. circle(127, 76, 3, c.line)
  end,
  spoon = function(c)
    return path("M86 52c24 0 26 52 8 62v70H80v-70c-20-10-18-62 6-62z", c.main, c.line)
      .. path("M140 52v40c0 14 6 20 12 22v70h14v-70c8-4 12-10 12-22V52M159 52v40", "none", c.line, 7)
  end,
  bell = function(c)
    return path("M120 58c44 0 40 66 54 94H66c14-28 10-94 54-94z", c.main, c.line)
      .. circle(120, 166, 12, c.second, c.line)
      .. path("M120 58V46", "none", c.line, 8)
  end,
  mat = function(c)
    return rect(52, 82, 136, 80, 4, c.main, c.line) .. rect(68, 98, 104, 48, 2, c.second)
      .. path("M88 122h64", "none", c.line, 6)
  end,
  cloth = function(c)
    return path("M88 56h64l-6 34 22 90H72l22-90z", c.main, c.line) .. path("M94 90h52", "none", c.second, 9)
      .. path("M88 56c-20-20-20 20-28 20M152 56c20-20 20 20 28 20", "none", c.line, 4)
  end,
  toy = function(c)
    return rect(62, 112, 52, 52, 4, c.main, c.line) .. rect(124, 112, 52, 52, 4, c.second, c.line)
      .. rect(94, 58, 52, 52, 4, c.ground, c.line) .. circle(120, 84, 12, c.main) .. path("M88 126l10 24H78z", c.ground)
      .. circle(150, 138, 11, c.ground)
  end,
  drawers = function(c)
    local out = rect(66, 60, 108, 118, 6, c.main, c.line)
    for i = 0, 2 do
      out = out .. rect(76, 70 + i * 35, 88, 28, 3, c.second, c.line) .. circle(120, 84 + i * 35, 5, c.line)
    end
    return out
  end,
  basket = function(c)
    return path("M74 106c10-70 82-70 92 0", "none", c.line, 8) .. path("M58 106h124l-16 72H74z", c.main, c.line)
      .. path("M64 130h112M70 154h100M96 106l6 72M144 106l-6 72M120 106v72", "none", c.second, 5)
  end,
}

-- What the last of these words in a name stands for.
local WORDS = {
  heart = "HEART HEARTS SWEETHEART",
  star = "STAR STARS",
  mug = "MUG CUP CUPS TEACUP BEAKER TUMBLER SAUCER GOBLET",
  pot = "TEAPOT POT COFFEE KETTLE JUG TEA WATERING COSY",
  candle = "CANDLE CANDLES WAX INCENSE TLIGHTS",
  lantern = "LANTERN LANTERNS TLIGHT TEALIGHT VOTIVE HURRICANE CANDLEHOLDER",
  lamp = "LIGHTING LAMP LAMPSHADE LIGHTS LIGHT NIGHTLIGHT SHADE CHANDELIER TORCH",
  bag = "BAG BAGS SHOPPER HANDBAG TOTE BACKPACK",
  box = "OTHER BOX BOXES TIN TINS CASE CASES BANK CABINET TRUNK SUITCASE BIN LUNCHBOX LUNCH",
  gift = "WRAP GIFT RIBBON RIBBONS WRAPPING PRESENT BOW",
  clock = "CLOCK CLOCKS WATCH TIMER",
  frame = "FRAME FRAMES PHOTO PICTURE PHOTOFRAME CANVAS",
  mirror = "MIRROR",
  sign = "SIGN BLACKBOARD CHALKBOARD BOARD PLAQUE",
  plate = "PLATE PLATES COASTER COASTERS TRAY PLACEMAT DOILY DOILIES TILE",
  bowl = "BOWL BOWLS DISH BATH BASIN",
  cake = "CAKE CAKES CUPCAKE MUFFIN BAKING CAKESTAND COOKIE COOKIES PUDDING CHOCOLATE SWEETS",
  bottle = "BOTTLE BOTTLES VASE DECANTER WATER FLASK PERFUME WINE CHAMPAGNE",
  jar = "JAR JARS STORAGE JAM PANTRY GLASS CANISTER",
  bird = "BIRD BIRDS BIRDCAGE BIRDHOUSE CHICK HEN DOVE OWL CAGE DUCK",
  flower = "FLOWER FLOWERS ROSE ROSES DAISY PLANT PLANTER GARDEN SEEDS POPPY LILY BLOSSOM HYACINTH TULIP "
    .. "LAVENDER",
  tree = "TREE TREES CHRISTMAS WREATH PINE",
  beads = "NECKLACE NECKLACES BEAD BEADS BEADED BRACELET BRACELETS CHARM PENDANT BANGLE CHOKER LARIAT",
  earrings = "EARRINGS EARRING HOOPS",
  ring = "RING RINGS BROOCH TIARA JEWELLERY TRINKET DIAMANTE",
  card = "CARD CARDS LETTER POSTCARD INVITATION ENVELOPE",
  paper = "PAPER NAPKINS TISSUES STICKERS STICKER NOTES CALENDAR RECIPE",
  book = "BOOK NOTEBOOK JOURNAL DIARY ALBUM SKETCHBOOK ORGANISER PLANNER",
  pencil = "STATIONERY CRAFT PENCIL PENCILS PEN PENS CRAYONS ERASER RULER CHALK TAPE SCISSOR SCISSORS",
  cushion = "HOME CUSHION PILLOW",
  umbrella = "UMBRELLA PARASOL",
  garland = "OCCASIONS GARLAND BUNTING DECORATION DECORATIONS CHAIN STREAMER PARTY",
  hook = "HOOK HOOKS HANGER KNOB KNOBS KEY DOORSTOP RACK HANDLE LOCK KEYRING",
  egg = "EGG EGGS EASTER",
  rabbit = "BABY NURSERY RABBIT BUNNY CAT DOG MOUSE BEAR KITTEN SQUIRREL",
  butterfly = "BUTTERFLY BUTTERFLIES FAIRY ANGEL",
  doll = "CHILDREN DOLL DOLLY BABUSHKA GIRL SOLDIER BOY SPACEBOY",
  spoon = "KITCHEN SPOON SPOONS CUTLERY KNIFE FORK UTENSILS LADLE",
  bell = "BELL BELLS CHIME CHIMES",
  mat = "DOORMAT MAT RUG CARPET",
  cloth = "CLOTHING APRON SCARF TOWEL TOWELS GLOVE GLOVES OVEN BLANKET COVER THROW MITT WARMER SLIPPERS HAT",
  toy = "TOY TOYS BLOCKS JIGSAW PUZZLE GAME KIT DOMINOES LUDO SKITTLES BLOCK",
  drawers = "DRAWER DRAWERS CUPBOARD SHELF DRESSER STOOL CHAIR TABLE",
  basket = "BASKET WICKER HAMPER PICNIC",
}

local THING_OF = {}
for thing, words in pairs(WORDS) do
  for word in words:gmatch("%S+") do THING_OF[word] = thing end
end

local FALLBACKS = { "box", "gift", "star", "flower", "heart" }

local function words_of(name)
  local words = {}
  for word in name:upper():gsub("T%-?%s?LIGHT", "TLIGHT"):gmatch("[A-Z]+") do words[#words + 1] = word end
  return words
end

local function thing_of(name, words)
  for i = #words, 1, -1 do
    local thing = THING_OF[words[i]]
    if thing then return thing end
  end
  return FALLBACKS[number_of(name) % #FALLBACKS + 1]
end

local MANY = { SET = true, PACK = true, PAIR = true, ASSORTED = true, TRIO = true }

local function scaled(drawing, x, y, factor)
  return ('<g transform="translate(%d %d) scale(%.2f)">%s</g>'):format(x, y, factor, drawing)
end

-- The picture, an SVG of 240 by 240 units.
function M.draw(name)
  local words = words_of(name)
  local c = colours_of(name, words)
  local drawing = THINGS[thing_of(name, words)](c)
  local many = false
  for _, word in ipairs(words) do many = many or MANY[word] end
  if many then
    drawing = scaled(drawing, 16, 24, 0.56) .. scaled(drawing, 92, 24, 0.56) .. scaled(drawing, 46, 78, 0.62)
  end
  local turn = number_of(name .. "ground") % 3
  return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 240" width="240" height="240">'
    .. rect(0, 0, 240, 240, 0, c.ground) .. ('<circle cx="%d" cy="%d" r="92" fill="%s" opacity="0.35"/>'):format(
      turn == 0 and 120 or turn == 1 and 60 or 184, turn == 0 and 128 or turn == 1 and 70 or 176, c.second)
    .. drawing .. "</svg>"
end

return M

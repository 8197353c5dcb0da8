-- Which category a product's name means. A keyword is one or more whole words; a plural in S or ES matches too.
--
-- `kinds` says what a thing is: the first line that matches gives its category, so the special stands before the
-- general ("candle holder" before "candle", "cake stand" before "cake"). `occasions` says what it is for: every match
-- adds a category. A name that means nothing here is "other".
local M = {}

M.kinds = {
  -- what a name says outright, whatever else it mentions
  { "home/textiles", "hot water bottle", "cushion", "doormat", "door mat", "c cover" },
  { "home/signs", "metal sign", "stopmetal sign", "sign", "number tile", "tile cottage garden",
    "tile vintage font" },
  { "home/clocks", "clock" },
  { "home/frames", "frame", "photoframe" },
  { "home/hooks-and-handles", "doorstop", "knob", "drawerknob", "hook", "hanger", "coat rack" },
  { "home/hanging-decorations", "garland", "wreath", "bunting", "decoration", "paper chain" },
  { "home/storage", "money bank", "money box" },
  { "home/mirrors", "mirror" },
  { "toys/play", "helicopter", "glider", "flying disc" },
  { "stationery/stickers", "sticker" },
  { "stationery/desk", "magnet", "hole punch" },
  { "stationery/gift-wrap", "gift wrap" },
  { "jewellery/bracelets", "bracelet", "bangle", "braclet" },
  { "jewellery/necklaces", "necklace", "necklac", "neckl" },
  { "kitchen/utensils", "oven mitt", "cooking set", "squeezer", "washing up", "corer", "scrubbing",
    "chopping board" },
  { "kitchen/table", "toastrack", "fruitbowl" },
  { "lighting/candle-holders", "baroquecandlestick", "candlepot", "candle pot", "candle bowl", "tube matches",
    "matches" },
  { "lighting/candles", "chocolatecandle" },
  { "bags/travel", "vippassport" },
  { "clothing/accessories", "sombrero", "ear muff" },
  { "home/furniture", "footstool", "drawer cabinet", "cupboard", "dressing table" },
  { "craft/sewing", "scissor" },
  -- the special before the general
  { "gifts/vouchers", "gift voucher", "dotcomgiftshop" },
  { "kitchen/baking", "cake tin", "cake case", "cake mould", "cake stand", "cakestand", "cupcake stand", "baking",
    "muffin", "rolling pin", "cookie cutter", "pastry", "jelly mould", "measuring spoon", "mixing bowl", "whisk",
    "icing", "pie dish", "pudding bowl", "measuring jug", "measuring cup", "loaf tin", "doiley", "doily", "doilies",
    "cake plate", "sieve", "jam making", "jam jar", "biscuit cutter", "cutter", "sugar dredger", "spatula",
    "cookery" },
  { "kitchen/storage", "bread bin", "biscuit tin", "biscuit bin", "biscuit barrel", "sugar tin", "tea tin",
    "coffee tin", "storage jar", "cookie jar", "pantry", "biscuit jar", "spice tin", "storage tin", "airtight",
    "sugar jar", "coffee sugar", "canister", "egg box", "larder", "vegetable holder", "spice", "cannister",
    "recipe box", "egg house", "kitchen scale", "scales", "jar" },
  { "kitchen/lunch-and-picnic", "lunch box", "lunchbox", "lunch bag", "picnic", "snack box", "flask", "hip flask",
    "water bottle", "travel mug", "food container", "food cover", "sandwich", "snack", "food box", "hamper",
    "bento", "cool bag", "cooler" },
  { "lighting/candle-holders", "candle holder", "t light holder", "tlight holder", "votive", "candlestick",
    "candelabra", "candle stick", "candle plate", "candleholder", "t lights holder", "t light", "tlight",
    "tea light", "tealight", "hurricane", "candle ring", "candle tray", "candle stand", "candle pot holder",
    "siren", "sconce", "candle snuffer" },
  { "lighting/candles", "candle", "wax" },
  { "lighting/lanterns", "lantern" },
  { "lighting/lamps", "lamp", "lampshade", "light", "night light", "fairy light", "led", "chandelier", "torch",
    "shade", "nightlight" },
  { "home/fragrance", "incense", "oil burner", "fragrance", "scent", "scented", "pot pourri", "reed diffuser",
    "room spray", "sachet", "perfume", "essential oil", "aromatherapy", "joss", "burner", "lavender" },

  -- bags and travel
  { "bags/purses", "purse", "wallet", "coin purse", "card holder", "card case", "passport cover", "coin" },
  { "bags/travel", "luggage", "passport", "suitcase", "travel", "eye mask", "weekend bag", "sleep mask",
    "business card" },
  { "bags/wash-bags", "washbag", "wash bag", "cosmetic bag", "make up bag", "toilet bag", "cosmetic", "vanity",
    "toiletry" },
  { "bags/shoppers", "shopper", "shopping bag", "jumbo bag", "shoulder bag", "tote", "charlotte bag", "handbag",
    "bag", "backpack", "rucksack", "satchel", "ruckscak", "shopping trolley", "trolley" },

  -- paper
  { "stationery/gift-wrap", "gift wrap", "wrap", "wrapping", "gift tag", "gift tape", "gift ribbon", "gift box",
    "tissue paper", "ribbon", "gift bag", "gift", "bow", "rosette", "tag", "wrapping paper" },
  { "stationery/cards", "greeting card", "birthday card", "card", "postcard", "invitation", "invite",
    "advent calendar card", "envelope" },
  { "stationery/desk", "pencil", "pen", "eraser", "ruler", "sharpener", "stapler", "crayon", "rubber", "tape",
    "magnifying glass", "tape measure", "bookmark", "clipboard", "paperweight", "letter opener", "letter rack",
    "letter holder", "highlighter", "marker", "stationery", "sticky", "ink", "calculator", "folder", "file", "desk",
    "in tray", "memo", "blackboard", "chalkboard", "chalk", "noticeboard", "notice board", "wallchart", "magnet",
    "liner" },
  { "stationery/notebooks", "notebook", "sketchbook", "book", "journal", "diary", "notepad", "address book",
    "photo album", "album", "jotter", "organiser", "calendar", "planner", "writing set", "letter set", "scrapbook",
    "note pad", "writing", "pad" },
  { "stationery/stickers", "sticker", "stamp", "transfer", "decal", "tattoo", "wall art", "stencil" },

  -- jewellery and wearing
  { "jewellery/storage", "jewellery box", "trinket", "jewellery stand", "ring holder", "earring stand",
    "earring holder", "jewellery tree", "necklace stand", "jewellery", "jewelry", "ring tree" },
  { "jewellery/necklaces", "necklace", "pendant", "choker", "lariat", "necklac", "locket", "necklet" },
  { "jewellery/bracelets", "bracelet", "bangle", "bracelt", "anklet", "brac" },
  { "jewellery/earrings", "earring", "earing", "drop earrings", "ear ring", "studs" },
  { "jewellery/rings-and-brooches", "brooch", "brooche", "hatpin", "ring", "cufflink", "tiara", "pin badge",
    "badge", "broach" },
  { "jewellery/hair", "hair", "hairband", "hairclip", "hairslide", "headband", "alice band", "scrunchie", "grip",
    "barrette", "ponytail", "hairgrip" },
  { "jewellery/charms", "charm", "bling", "phone charm", "bag charm", "keyring", "key ring", "key fob", "key chain",
    "keychain", "fob", "bead", "mobile phone" },
  { "clothing/umbrellas", "umbrella", "parasol", "rain poncho", "poncho", "raincoat", "rain mac", "rain hat" },
  { "clothing/accessories", "scarf", "glove", "mitten", "hat", "slipper", "sock", "tie", "flip flop", "sandal",
    "sarong", "shawl", "pashmina", "boa", "leg warmer", "legwarmer", "cap", "wellies", "belt", "apron", "wrist",
    "fan", "glasses case", "sunglasses", "shoe", "pyjama", "dressing gown", "bloomers", "kaftan", "spectacle",
    "leis", "tights", "beret", "boot", "dress", "feather", "hand warmer", "handwarmer", "handkerchief", "hankies" },

  -- kitchen and table
  { "kitchen/mugs-and-cups", "mug", "cup", "teacup", "cup saucer", "beaker", "tumbler", "saucer", "eggcup",
    "egg cup", "goblet", "stein", "tankard" },
  { "kitchen/tea-and-coffee", "teapot", "tea pot", "tea cosy", "tea set", "tea strainer", "coffee pot", "cafetiere",
    "coffee", "tea bag", "milk jug", "sugar bowl", "sugar", "teaspoon", "tea spoon", "tea for one", "kettle",
    "teatime", "creamer", "tea", "milk", "tea towel", "tea infuser", "percolator" },
  { "kitchen/glass", "wine glass", "tumbler", "carafe", "decanter", "champagne", "drinking glass", "cocktail",
    "wine", "martini", "hi ball", "jug", "pitcher", "bottle", "bottle stopper", "bottle opener", "corkscrew",
    "drink", "straw", "beer", "ice cube", "goblet", "stopper" },
  { "kitchen/table", "plate", "bowl", "cutlery", "spoon", "fork", "knife", "napkin", "placemat", "place mat",
    "coaster", "table mat", "tablecloth", "table cloth", "serving", "butter dish", "cake slice", "dinner set",
    "breakfast", "toast", "egg", "salad", "condiment", "salt", "pepper", "cruet", "platter", "dinner",
    "table runner", "runner", "dish", "ramekin", "tray", "cake server", "serviette", "place setting", "placecard",
    "bone china", "butter", "chopstick", "ladle", "tagine", "trivet", "pot stand", "table", "cake", "cheese", "mat",
    "parfait", "sundae", "charger", "tureen", "dessert", "bon bon" },
  { "kitchen/utensils", "oven glove", "pot holder", "frying pan", "pan", "chopping board", "saucepan", "peg bag",
    "kitchen", "utensil", "timer", "cook", "peeler", "tongs", "grater", "colander", "casserole", "washing up",
    "dish cloth", "dishcloth", "bottle brush", "ladder", "brush", "tea towel", "towel", "peg", "dustpan", "laundry",
    "ironing", "clothes", "scrubbing", "mop", "cleaning", "recipe", "popcorn", "food", "fruit", "pastille",
    "ice cream", "lolly", "lollies", "enamel" },

  -- craft and play
  { "craft/sewing", "sewing", "knitting", "crochet hook", "needle", "button", "pin cushion", "pincushion", "wool",
    "fabric", "patchwork", "thimble", "thread", "cross stitch", "yarn", "embroidery", "haberdashery", "haby",
    "quilting", "lace", "felt", "reel", "lattice" },
  { "craft/kits", "craft", "feltcraft", "kit", "painting set", "paint set", "make your own", "make your",
    "colouring", "origami", "drawing", "paint your", "bead kit", "decoupage", "glue", "modelling", "sand art",
    "paints", "paint box", "own", "grow your own", "glitter", "sequin", "pompom" },
  { "toys/games", "jigsaw", "puzzle", "game", "playing card", "domino", "snakes", "ludo", "solitaire", "yoyo",
    "yo yo", "skittles", "chess", "draughts", "quoits", "skipping rope", "croquet", "bingo", "dice", "noughts",
    "cards", "boules", "marble", "snap", "tic tac toe", "tric trac", "magic trick", "ball game", "bat",
    "backgammon", "tomato", "happy families", "pick up sticks", "mikado", "bowling", "football", "cricket", "darts",
    "whoopee", "racing", "kite", "ring toss", "hoop", "trick", "memory" },
  { "toys/dolls-and-soft-toys", "doll", "dolly", "soft toy", "teddy", "bear", "plush", "puppet", "doll s house",
    "dollcraft", "paper dolly", "babushka", "knitted", "cuddly", "bean bag", "rag", "marionette", "matryoshka",
    "sock puppet", "fluffy", "rocking horse", "rabbit", "bunny", "cuddles" },
  { "toys/play", "toy", "spaceboy", "circus parade", "soldier", "wooden train", "train", "robot", "dinosaur",
    "spinning top", "bubble", "balloon", "whistle", "trumpet", "harmonica", "drum", "tambourine", "maracas",
    "recorder", "kazoo", "catapult", "water pistol", "inflatable", "costume", "pirate", "fairy", "wand", "mask",
    "wings", "tutu", "dressing up", "racing car", "car", "tractor", "aeroplane", "plane", "rocket", "top", "mobile",
    "musical", "music box", "jumping", "wind up", "windmill", "pinwheel", "boomerang", "slinky", "ball", "bouncy",
    "sandcastle", "bucket", "spade", "skittle", "swing", "telescope", "periscope", "kaleidoscope", "spyglass",
    "tricycle", "scooter", "wagon", "wheelbarrow childs", "castle", "crawlies", "creepy", "spider", "lizard",
    "frog", "disco", "space", "juggling", "flute", "ocarina", "guitar", "ukelele", "paper chain", "tent", "teepee",
    "wigwam", "moustache", "cowboy", "cannon", "animal", "monster", "ufo", "trampoline", "caravan", "bus", "abc",
    "alphabet", "monkey", "zoo" },
  { "baby-and-nursery", "baby", "nursery", "bib", "rattle", "cot", "pram", "newborn", "christening", "tooth",
    "height chart", "potty", "first tooth" },

  -- garden
  { "garden/bird-and-nature", "bird feeder", "birdfeeder", "bird table", "birdhouse", "bird house", "bird bath",
    "birdbath", "nesting", "insect", "bird box", "feeder", "birdcage", "bird cage", "butterfly house", "ladybird",
    "bird", "bee" },
  { "garden/pots-and-plants", "planter", "flower pot", "flowerpot", "plant pot", "window box", "herb", "grow",
    "seed", "plant", "pot", "trough", "hanging basket", "plant marker", "plant cage", "terrarium", "urn",
    "flower power", "cactus", "bulb", "cress" },
  { "garden/tools", "watering can", "garden", "gardening", "gardener", "trowel", "secateurs", "hose", "wheelbarrow",
    "kneeler", "kneeling", "rake", "shovel", "dibber", "twine", "string", "raffia", "deckchair", "deck chair",
    "hammock", "bbq", "barbecue", "fork and trowel", "shed", "wind chime", "windchime", "chimes", "sundial",
    "thermometer", "rain gauge", "gnome", "stepping stone", "toadstool", "spinner" },

  -- home
  { "home/textiles", "cushion", "quilt", "throw", "rug", "blanket", "curtain", "bed", "bedspread", "pillow",
    "eiderdown", "duvet", "doormat", "door mat", "draught excluder", "draft excluder", "bath mat", "footstool",
    "pouffe", "beanbag", "floor mat", "door stop fabric", "sheet", "warmer", "bean", "tassel", "tieback",
    "tie back", "seat pad", "carpet", "mattress", "voile" },
  { "home/bathroom", "bathroom", "bath", "soap", "flannel", "sponge", "shower", "toothbrush", "toilet", "loo",
    "tissue", "cotton wool", "body", "bath salts", "bubble bath", "lip gloss", "lip balm", "lipstick", "manicure",
    "nail", "hand cream", "plasters", "first aid", "compact mirror", "hand", "massage", "massager", "beauty",
    "bicarbonate", "lip", "gloss", "swiss roll towel", "emery board" },
  { "home/mirrors", "mirror" },
  { "home/frames", "frame", "photo", "picture", "photo clip", "poster", "print", "canvas", "triptych", "gallery",
    "photograph", "plaque", "album cover" },
  { "home/clocks", "clock", "alarm clock", "wrist watch", "watch" },
  { "home/signs", "sign", "no entry", "house number", "door number", "number tile", "tile number", "letter",
    "block word", "word", "alphabet block", "door sign", "number", "keep calm", "nameplate", "initial", "gin tonic",
    "gin", "metal sign", "street sign", "door plate", "doorplate", "home sweet home", "home" },
  { "home/hooks-and-handles", "hook", "hanger", "coat rack", "coat hanger", "knob", "door knob", "drawer knob",
    "handle", "key rack", "key cabinet", "key box", "door", "doorstop", "door stop", "doorbell", "knocker", "rack",
    "coat", "cupboard handle", "peg rack", "hinge", "latch", "letterbox", "mail box", "post box", "letter box",
    "key" },
  { "home/furniture", "cabinet", "chest", "stool", "chair", "bench", "shelf", "shelves", "bookcase", "wardrobe",
    "bedside", "table lamp", "side table", "drawer", "cupboard", "bookend", "book end", "magazine rack",
    "umbrella stand", "screen", "dresser", "shelving", "trunk", "desk set", "washstand", "stand", "cd", "easel" },
  { "home/storage", "box", "basket", "tin", "storage", "bin", "container", "money bank", "money box", "piggy bank",
    "bank", "crate", "holdall", "caddy", "tub", "tidy", "waste paper", "laundry basket", "case", "sewing box",
    "pail", "hatbox", "trug", "shoe bag", "cigar box", "pocket", "bucket", "holder", "rubbish", "ashtray", "pot",
    "safe" },
  { "home/vases-and-flowers", "vase", "flower", "rose", "bouquet", "posy", "artificial flower", "silk flower",
    "blossom", "daisy", "tulip", "sunflower", "orchid", "petal", "stem", "spray", "berries", "leaf", "ivy",
    "amaryllis", "branch", "poppy", "tree", "lily", "twig", "foliage", "magnolia", "hydrangea", "peony", "grass",
    "pebbles" },
  { "home/hanging-decorations", "garland", "wreath", "bunting", "bell", "hanging", "suncatcher", "sun catcher",
    "dream catcher", "curtain", "decoration", "hanger", "beaded", "stars", "snowflake", "chain", "streamer",
    "pennant", "bauble", "cones", "drop", "prism", "zinc", "string of hearts", "icicle", "strings", "mobile",
    "windsock", "flag", "paperchain", "swag" },
  { "home/ornaments", "ornament", "figurine", "statue", "heart", "cat", "dog", "owl", "hen", "buddha", "angel",
    "elephant", "horse", "cherub", "sculpture", "bust", "globe", "star", "butterfly", "reindeer", "chicken", "duck",
    "fish", "shell", "skull", "crown", "ceramic", "decorative", "trophy", "model", "gnome", "sheep", "pig", "cow",
    "figure", "head", "cockerel", "mushroom", "peacock", "tile", "robin", "penguin", "wall", "wood", "wooden",
    "glass", "metal", "silver", "resin", "antique", "art", "victorian", "vintage", "stone", "marbles", "crystal",
    "cross", "candy", "decor", "medina", "porcelain", "moroccan", "baroque", "bronze", "iron", "aluminium",
    "dovecote", "plinth", "pedestal", "pyramid", "egyptian", "nymph", "mermaid", "geisha", "boudicca", "horn",
    "gecko", "snake", "crocodile", "turtle", "hedgehog", "squirrel", "fox", "deer", "stag" },
}

M.occasions = {
  { "occasions/christmas", "christmas", "xmas", "advent", "santa", "reindeer", "snowman", "snowmen", "snowflake",
    "nativity", "mistletoe", "stocking", "noel", "bauble", "rudolph", "father christmas", "snow", "elf", "tinsel",
    "yule" },
  { "occasions/easter", "easter", "chick", "hen house", "easter egg" },
  { "occasions/party", "party", "birthday", "bunting", "balloon", "cake candle", "happy birthday", "paper cup",
    "paper plate", "cocktail", "streamer", "popper", "sparkler", "confetti", "paper napkin", "napkins" },
  { "occasions/wedding", "wedding", "bride", "groom", "confetti", "just married", "honeymoon" },
  { "occasions/valentine", "valentine", "love", "i love you", "kiss", "cupid", "sweetheart" },
  { "occasions/halloween", "halloween", "skull", "pumpkin", "witch", "spooky", "ghost", "bat" },
  { "children", "child", "children", "kid", "girl", "boy", "baby", "nursery", "spaceboy", "toddler", "lola",
    "dolly girl", "playhouse", "school", "circus parade", "charlie lola" },
}

M.other = "other"

-- " PINK HEART T LIGHT HOLDER ": words between single blanks, so that a keyword is found as whole words.
local function words(name)
  return " " .. name:lower():gsub("['`]s%f[%W]", ""):gsub("['`]", ""):gsub("[^%w]+", " ") .. " "
end

local function means(text, line)
  for i = 2, #line do
    local word = line[i]
    for _, ending in ipairs { " ", "s ", "es " } do
      if text:find(" " .. word .. ending, 1, true) then return true end
    end
  end
  return false
end

-- The categories of a product's name (text): a list of at least one path, such as "lighting/candles".
function M.of(name)
  local text, found = words(name), {}
  for _, line in ipairs(M.kinds) do
    if means(text, line) then
      found[1] = line[1]
      break
    end
  end
  for _, line in ipairs(M.occasions) do
    if means(text, line) then found[#found + 1] = line[1] end
  end
  if not found[1] then found[1] = M.other end
  return found
end

return M

-- limits: how many units of something one cart may hold, beside the 9,999 of a line that hold for all. `per` "line" (of
-- each article alone, unless told) or "cart" (of all of them together); for everybody, or customer_groups (who is in
-- none: "none") and zones; from starts_at until ends_at. For example:
--
--   { id = "votives", doc = "At most 24 votive candles to a household", most = 24, per = "cart",
--     categories = { "lighting/candles/votive" }, customer_groups = { "none", "retail" } },
return {
}

-- shipping: the methods by zone; free_from is the items total from which the fee falls away.
return {
  { method = "standard", name = "Standard, 3 to 5 days", zones = { "GB" }, fee = 395, free_from = 5000,
    currency = "GBP",
    tax_category = "standard" },
  { method = "express", name = "Express, next working day", zones = { "GB" }, fee = 795, currency = "GBP",
    tax_category = "standard" },
  { method = "international", name = "International, 5 to 10 days", fee = 1295, free_from = 25000, currency = "GBP" },
}

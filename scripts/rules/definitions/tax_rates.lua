-- tax_rates: what each tax category carries, by zone. UK prices contain VAT.
return {
  { category = "standard", percent = 20, included = true, zone = "GB" },
  { category = "reduced", percent = 5, included = true, zone = "GB" },
  { category = "zero", percent = 0, included = true, zone = "GB" },
}

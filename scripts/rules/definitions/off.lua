-- off: promotions that are switched off, with the reason; written by `fastr rules off` and `on`.
return {
}

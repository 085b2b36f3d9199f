"""Whether new examples, or a market, still are what the champion was adapted on."""

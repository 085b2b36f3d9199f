"""Names by which columns of a table are known, best first, in lower case."""

#: A column of texts.
TEXTS = (
    *("text", "texts", "report", "review", "sentence", "message", "note", "notes", "abstract", "document", "body"),
    *("content", "description", "comment", "utterance", "question", "query", "narrative", "article"),
)
#: A column of labels, which says so.
SAYS_LABEL = ("label", "labels", "label_text", "label_name", "class", "target", "classification")
#: A column of labels, or of something that labels tell.
LABELS = (
    *("label", "labels", "class", "category", "target", "intent", "diagnosis", "topic", "sentiment", "condition"),
    *("label_text", "label_name", "classification", "outcome", "y", "tag"),
)

#: Columns of a table of prices: the day and the asset; words for the prices are in ``price_names``.
DATES = ("date", "datetime", "timestamp", "time", "day", "trading day", "trade_date")
ASSETS = ("asset", "ticker", "symbol", "name", "isin", "currency", "instrument", "stock", "security")

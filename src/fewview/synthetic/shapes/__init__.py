"""Parts and finishes of procedural things."""

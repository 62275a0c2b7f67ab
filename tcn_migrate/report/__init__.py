"""The page that shows what a migration did: one HTML file, which needs no network."""

"""The page of a folder of results: `index.html`, and what it reads from `report/`."""

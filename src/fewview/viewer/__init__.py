"""`fewview view`: scenes in a browser, served by viser; `fewview.export.page` writes the page that needs no server."""

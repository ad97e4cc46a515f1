module sandscope/plugin

go 1.21

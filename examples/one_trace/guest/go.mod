module sandscope/wordcount

go 1.21

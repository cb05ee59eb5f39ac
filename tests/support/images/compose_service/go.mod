module composed

go 1.24

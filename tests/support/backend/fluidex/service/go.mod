module proverctl.example/service

go 1.24

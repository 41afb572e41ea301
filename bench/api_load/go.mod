module transport-informer.io/bench/api_load

go 1.22

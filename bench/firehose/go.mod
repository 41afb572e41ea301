module transport-informer.io/bench/firehose

go 1.19

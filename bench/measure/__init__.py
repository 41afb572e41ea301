"""What bench/run measures.

programs   the programs that take part, and what the kernel says of a process: CPU, memory, bytes on the wire
peers      beside client-go and kube-rs
growth     how cost grows with objects, informers and clusters
idle       a cluster in which nothing happens
stores     the stores alone, in memory and in databases
api        the fleet's API beside kube-apiserver
sizes      how large all of it is
report     figures to tables in docs/performance.md; plot: to pictures beside it
"""

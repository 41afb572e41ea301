// informer auth can-i: what an authorization file allows whom, without a server.
#pragma once

namespace tinf::daemon {

// `argv[0]` is "auth". Exit code: 0 yes, 1 no, each said in one line on stdout, with the rule; 2 the words or the file
// are wrong, said in one line on stderr.
int run_auth(int argc, char** argv);

}  // namespace tinf::daemon

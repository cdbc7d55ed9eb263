//! End to end: real `store` processes, real repos, real sockets. Free ports and loopback only, or
//! namespaces of the test's own.

mod support;

mod hostile;
mod kill;
mod limits;
mod mdns;
mod resume;
mod swarm;
mod vectors;

mod bench;
mod copies;
mod drain;
mod pinned;
mod repair;
mod scale;
mod trim;

mod bench;
mod copies;
mod repair;
mod trim;

-- Everything the factory remembers; big things are files beside it. Times are Unix seconds.
CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,
    project INTEGER NOT NULL REFERENCES projects,
    admin INTEGER NOT NULL,
    created INTEGER NOT NULL
) STRICT;
-- One-time links: the first makes the first account, the others invite.
CREATE TABLE links (
    digest TEXT PRIMARY KEY,
    project INTEGER REFERENCES projects,
    admin INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE sessions (
    digest TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    form TEXT NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    used INTEGER
) STRICT;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    account TEXT NOT NULL,
    project INTEGER,
    action TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;
CREATE TABLE recipes (
    project INTEGER NOT NULL REFERENCES projects,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    text TEXT NOT NULL,
    saved INTEGER NOT NULL,
    PRIMARY KEY (project, id)
) STRICT;
CREATE TABLE builds (
    id TEXT PRIMARY KEY,
    project INTEGER NOT NULL REFERENCES projects,
    account TEXT NOT NULL,
    recipe TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
    pinned INTEGER NOT NULL DEFAULT 0,
    stop TEXT,
    created INTEGER NOT NULL,
    started INTEGER,
    ended INTEGER,
    lock TEXT,
    image TEXT
) STRICT;
CREATE INDEX builds_by_recipe ON builds (project, recipe);
CREATE INDEX builds_by_state ON builds (state);
CREATE TABLE artifacts (
    build TEXT NOT NULL REFERENCES builds ON DELETE CASCADE,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (build, name)
) STRICT;
-- Links from which machines boot a build.
CREATE TABLE boot_links (
    build TEXT PRIMARY KEY REFERENCES builds ON DELETE CASCADE,
    digest TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE machines (
    build TEXT NOT NULL REFERENCES builds ON DELETE CASCADE,
    address TEXT NOT NULL,
    file TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (build, address)
) STRICT;
PRAGMA user_version = 1;

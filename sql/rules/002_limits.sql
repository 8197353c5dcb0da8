-- What ends a trial, where its hosts' own settings are not to: {drift (basis points), errors, after}.
alter table activations add column limits jsonb;

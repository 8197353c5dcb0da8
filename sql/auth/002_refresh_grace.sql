-- Two tabs of one browser come back with the same refresh token at once: within a few seconds both get the same next
-- one. It is made of the token and of this, so neither is kept.
alter table refresh_tokens add column salt text; -- hexadecimal, random; null: not used yet, or before this was

-- The vault: saved cards. A card lies here only encrypted, under a data key of its own, which is itself wrapped by the
-- key-encryption key `kek` of var/secrets/vault_keys. Both ciphers are bound to the row's id and owner. Beside them only
-- what may be shown: brand, the last four digits, the expiry. The security code is never here.

create table payment_methods (
  id           uuid primary key,                   -- random: whoever has a guest's id may use it
  owner        uuid,                               -- the customer; null: a guest's
  brand        text not null,
  last4        text not null check (last4 ~ '^[0-9]{4}$'),
  exp_month    integer not null check (exp_month between 1 and 12),
  exp_year     integer not null,
  fingerprint  text,                               -- HMAC of the number: the same card saved twice is one method
  kek          text,                               -- which key wraps the data key
  wrapped_key  text,                               -- base64url
  sealed_card  text,                               -- base64url
  created_at   timestamptz not null,
  expires_at   timestamptz,                        -- a guest's: then it is shredded
  deleted_at   timestamptz,
  check ((owner is null) = (expires_at is not null)),
  -- what is deleted cannot be decrypted; what is not, can
  check (deleted_at is null and num_nulls(fingerprint, kek, wrapped_key, sealed_card) = 0
    or deleted_at is not null and num_nonnulls(fingerprint, kek, wrapped_key, sealed_card) = 0)
);

create unique index payment_methods_card on payment_methods (owner, fingerprint)
  where owner is not null and deleted_at is null;
create index payment_methods_owner on payment_methods (owner, created_at, id) where owner is not null and deleted_at is null;
create index payment_methods_expires on payment_methods (expires_at) where expires_at is not null and deleted_at is null;
create index payment_methods_kek on payment_methods (kek) where deleted_at is null;

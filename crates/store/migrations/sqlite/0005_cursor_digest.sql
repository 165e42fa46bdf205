-- The rows of `cursor` change, so that the chain cannot cover them; what is billed follows from them all
-- the same. Each row has a digest of what stands in it, which the program writes with it and compares
-- whenever it reads it. The rows that are there get theirs from the program, in this transaction; the
-- empty text is the digest of nothing, and never accepted.

ALTER TABLE cursor ADD COLUMN digest TEXT NOT NULL DEFAULT '';

-- The rows of `cursor` change, so that the chain cannot cover them; what is billed follows from them all
-- the same. Each row has a digest of what stands in it, which the program writes with it and compares
-- whenever it reads it. The rows that are there get theirs from the program, in this transaction; the
-- empty text is the digest of nothing, and never accepted.
--
-- An operator of an older version that still runs would move a cursor and leave its digest behind. It is
-- locked out as by a newer writer, and says so; what happens until the new one runs is caught up. The
-- row of the leader is locked first, as by whoever appends.

UPDATE leader SET epoch = epoch + 1, holder = 'the migration of the schema to version 5' WHERE epoch > 0;

ALTER TABLE cursor ADD COLUMN digest TEXT COLLATE "C" NOT NULL DEFAULT '';

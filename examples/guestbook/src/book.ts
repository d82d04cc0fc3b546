/** The book itself: a counter and entries in a KV namespace. */

/** An entry as it is stored. */
export interface Entry {
  name: string;
  message: string;
  /** Milliseconds since 1970. */
  at: number;
}

/** Some entries' keys, newest first, and where the next ones begin. */
export interface Listing {
  keys: string[];
  cursor: string | null;
}

const VISITS = "visits";
const ENTRY = "entry:";

/** Keys are listed in ascending order, so time counts down from here to put the newest first. */
const END_OF_TIME = 9_999_999_999_999;

/** The most keys that one listing gives. */
const LIST_MAX = 1000;

/** Adds one to the number of visits and returns it. Two visits in the same moment may count as one. */
export async function countVisit(book: KVNamespace): Promise<number> {
  const visits = Number(await book.get(VISITS)) + 1;
  await book.put(VISITS, String(visits));
  return visits;
}

/** Writes an entry. When this returns, it is kept. */
export async function sign(book: KVNamespace, name: string, message: string, at: number): Promise<void> {
  const order = String(END_OF_TIME - at).padStart(13, "0");
  const entry: Entry = { name, message, at };
  await book.put(`${ENTRY}${order}:${crypto.randomUUID().slice(0, 8)}`, JSON.stringify(entry));
}

/** The keys of at most `limit` entries from `cursor` on. */
export async function listEntries(book: KVNamespace, limit: number, cursor: string | null): Promise<Listing> {
  const list = await book.list({ prefix: ENTRY, limit, cursor });
  return { keys: list.keys.map((key) => key.name), cursor: list.list_complete ? null : list.cursor };
}

/** The entries of these keys, in their order; one that is gone meanwhile is left out. */
export async function readEntries(book: KVNamespace, keys: string[]): Promise<Entry[]> {
  if (keys.length === 0) return [];
  const found = await book.get<Entry>(keys, "json");
  return keys.map((key) => found.get(key)).filter((entry) => entry != null);
}

/** Deletes all but the newest `kept` entries and returns how many went. */
export async function trim(book: KVNamespace, kept: number): Promise<number> {
  let seen = 0;
  let removed = 0;
  let cursor: string | null = null;
  do {
    const list: Listing = await listEntries(book, LIST_MAX, cursor);
    for (const key of list.keys) {
      seen += 1;
      if (seen > kept) {
        await book.delete(key);
        removed += 1;
      }
    }
    cursor = list.cursor;
  } while (cursor !== null);
  return removed;
}

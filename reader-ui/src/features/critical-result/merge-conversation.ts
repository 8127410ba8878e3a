import type { Conversation } from '../../api/types.ts';

export type Field = keyof Conversation;
/** How one field that two screens have changed is settled. */
export type Choice = 'mine' | 'theirs' | 'both';

export interface Merged {
  conversation: Conversation;
  /** What the relay has in the fields that both screens have changed, each in another way. */
  theirs: Partial<Conversation>;
}

/**
 * Joins two texts that grew from one: a field only one screen has changed is taken from that screen; one that both have
 * changed stays as it is here, with theirs beside it.
 */
export function mergeConversations(base: Conversation, mine: Conversation, theirs: Conversation): Merged {
  const fields = Object.keys(theirs) as Field[];
  const changed = fields.filter((field) => !same(theirs[field], base[field]) && !same(theirs[field], mine[field]));
  const disputed = changed.filter((field) => !same(mine[field], base[field]));
  const taken = changed.filter((field) => !disputed.includes(field));
  return { conversation: { ...mine, ...pick(theirs, taken) }, theirs: pick(theirs, disputed) };
}

export function pick(conversation: Conversation, fields: readonly Field[]): Partial<Conversation> {
  return Object.fromEntries(fields.map((field) => [field, conversation[field]]));
}

/** Both, so that no word is lost: texts one below the other, lists one after the other; where there can be one answer only, theirs. */
export function both(mine: unknown, theirs: unknown): unknown {
  if (isEmpty(mine) || same(mine, theirs)) return theirs;
  if (isEmpty(theirs)) return mine;
  if (typeof mine === 'string' && typeof theirs === 'string') return `${theirs}\n${mine}`;
  if (Array.isArray(mine) && Array.isArray(theirs)) return [...theirs, ...mine.filter((one) => !theirs.some((other) => same(one, other)))];
  if (!isRecord(mine) || !isRecord(theirs)) return theirs;
  const keys = [...new Set([...Object.keys(theirs), ...Object.keys(mine)])];
  return Object.fromEntries(keys.map((key) => [key, both(mine[key], theirs[key])]));
}

/** Whether two answers say the same; one that is missing and one that is empty do. */
export function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(plain(one)) === JSON.stringify(plain(other));
}

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.length ? value.map(plain) : null;
  if (!isRecord(value)) return value === '' || value === undefined ? null : value;
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => [key, plain(inner)]);
  const kept = entries.filter(([, inner]) => inner !== null).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return kept.length ? Object.fromEntries(kept) : null;
}

function isEmpty(value: unknown): boolean {
  return plain(value) === null;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

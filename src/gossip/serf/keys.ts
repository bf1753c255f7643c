/**
 * Serf's key queries, both sides: our answer when an operator runs `serf keys` anywhere in the ring, and our own
 * queries to the other members.
 */
import { type Keyring, keyOf, keyText } from '../keyring.ts'
import {
  type KeyResponse,
  QUERY_MOST,
  readKeyRequest,
  readKeyResponse,
  writeKeyRequest,
  writeKeyResponse,
} from '../wire/serf.ts'
import type { Answer } from './queries.ts'

/** Key operations, and the query for each. */
export const KEY_QUERIES = {
  install: '_serf_install-key',
  use: '_serf_use-key',
  remove: '_serf_remove-key',
  list: '_serf_list-keys',
} as const
export type KeyOperation = keyof typeof KEY_QUERIES

/** The result of a key operation over the whole ring. */
export type KeyResult = {
  /** Members asked, members that answered, and members that refused. */
  readonly members: number
  readonly answered: number
  readonly failed: number
  /** Messages from members, by name: a refusal or a warning. */
  readonly messages: Readonly<Record<string, string>>
  /** base64 keys, and how many members have each installed; filled by `list`. */
  readonly keys: Readonly<Record<string, number>>
  /** base64 primary keys, and how many members use each; filled by `list`. */
  readonly primary: Readonly<Record<string, number>>
}

/** The operation for a query's name, or undefined. */
export const keyOperation = (name: string): KeyOperation | undefined =>
  (Object.keys(KEY_QUERIES) as KeyOperation[]).find(operation => KEY_QUERIES[operation] === name)

const NO_KEYRING: KeyResponse = {
  result: false,
  message: 'No keyring to modify (encryption not enabled)',
  keys: [],
  primary: '',
}

const change = (
  keyring: Keyring,
  operation: Exclude<KeyOperation, 'list'>,
  key: Uint8Array,
): KeyResponse => {
  const refusal = keyring[operation](key)
  return { result: refusal === undefined, message: refusal ?? '', keys: [], primary: '' }
}

/** Carries out a key query and returns our answer. */
export const answerKeys = (
  operation: KeyOperation,
  payload: Uint8Array,
  keyring: Keyring | undefined,
): Uint8Array => {
  if (!keyring) return writeKeyResponse(NO_KEYRING)
  if (operation === 'list') return listed(keyring)
  const key = readKeyRequest(payload)
  return writeKeyResponse(
    key
      ? change(keyring, operation, key)
      : { result: false, message: 'the request cannot be read', keys: [], primary: '' },
  )
}

/** The list of keys, cut so that the response fits Serf's limit. */
const listed = (keyring: Keyring): Uint8Array => {
  const keys = keyring.list()
  const primary = keyText(keyring.primary)
  for (let n = keys.length; ; n--) {
    const message =
      n < keys.length
        ? `truncated key list response, showing first ${n} of ${keys.length} keys`
        : ''
    const bytes = writeKeyResponse({ result: true, message, keys: keys.slice(0, n), primary })
    if (bytes.length <= QUERY_MOST - 400 || n === 0) return bytes
  }
}

/** The payload of a key query; undefined if the key is invalid. `list` needs no key. */
export const keyRequest = (operation: KeyOperation, key: string): Uint8Array | undefined => {
  const octets = operation === 'list' ? new Uint8Array(0) : keyOf(key)
  return octets && writeKeyRequest(octets)
}

/** Combines the answers of all members. */
export const keyResult = (answers: readonly Answer[], members: number): KeyResult => {
  const messages: [string, string][] = []
  const keys = new Map<string, number>()
  const primary = new Map<string, number>()
  let failed = 0
  for (const { from, payload } of answers) {
    const said = readKeyResponse(payload)
    if (!said?.result) failed++
    if (!said) messages.push([from, 'an answer that cannot be read'])
    else if (said.message !== '') messages.push([from, said.message])
    for (const key of said?.keys ?? []) keys.set(key, (keys.get(key) ?? 0) + 1)
    if (said?.primary) primary.set(said.primary, (primary.get(said.primary) ?? 0) + 1)
  }
  return {
    members,
    answered: answers.length,
    failed,
    messages: Object.fromEntries(messages),
    keys: Object.fromEntries(keys),
    primary: Object.fromEntries(primary),
  }
}

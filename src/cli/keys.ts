/**
 * `spartan keys`: creates a keyring for the gossip ring and rotates its keys on a running cluster: install the new
 * key, use it, remove the old one.
 */
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import type { KeyResult } from '../gossip/serf/keys.ts'
import { fail } from '../base/error.ts'
import { DAEMON_USER, ownerForDaemon } from './daemon-user.ts'
import { DONE, FAILED, type Io } from './io.ts'
import {
  configOf,
  daemon,
  examples,
  withConfig,
  withDaemon,
  type ConfigOption,
  type DaemonOptions,
} from './options.ts'
import { counted, table } from './table.ts'

/**
 * Default path of the keyring. The daemon writes to it when keys change, and its unit may only write below this
 * folder.
 */
const KEYRING = '/var/lib/spartan/keyring.json'

type Generate = ConfigOption & {
  readonly out?: string
  readonly add?: boolean
  readonly print?: boolean
  readonly json?: boolean
}

const generate = async (io: Io, options: Generate): Promise<void> => {
  const { generatedKey, loadKeyring, writeKeyringFile } = await import('../gossip/keyring.ts')
  const key = generatedKey()
  const say = (facts: object, text: string): void =>
    io.out(options.json ? `${JSON.stringify(facts, null, 2)}\n` : text)
  if (options.print) return say({ key }, `${key}\n`)
  const file = options.out ?? ((await configOf(options))?.gossip?.keyring || KEYRING)
  const old = existsSync(file)
  if (old && !options.add) {
    throw fail(
      `${file} exists: a new key would cut this node off; --add keeps the keys in it and adds one`,
      'ESTATE',
    )
  }
  // The first key encrypts, so a new one is added at the end until every node has it.
  const keys = old ? [...loadKeyring(file).list(), key] : [key]
  const owner = ownerForDaemon()
  writeKeyringFile(file, keys, owner)
  const warning =
    !owner && process.getuid?.() === 0
      ? `there is no user '${DAEMON_USER}' on this host: only root can read ${file}, and a daemon under another account cannot`
      : ''
  say(
    { file, keys: keys.length, warnings: warning === '' ? [] : [warning] },
    `${file}: ${counted(keys.length, 'key', 'keys')}, the first encrypts\n`,
  )
  if (warning !== '' && !options.json) io.err(`spartan: ${warning}\n`)
}

/** The key from the command line; '-' reads it from standard input, where other users of the host cannot see it. */
const keyFrom = async (io: Io, text: string): Promise<string> => {
  const { keyOf } = await import('../gossip/keyring.ts')
  const key = (text === '-' ? await io.input() : text).trim()
  if (!keyOf(key))
    throw fail(
      'a key is 16, 24 or 32 octets in base64, as "spartan keys generate --print" makes them',
      'EUSAGE',
    )
  return key
}

/** The ring's result; missing fields get defaults. */
const resultOf = (json: unknown): KeyResult => ({
  members: 0,
  answered: 0,
  failed: 0,
  messages: {},
  keys: {},
  primary: {},
  ...(json as Partial<KeyResult> | undefined),
})

const showMessages = ({ messages }: KeyResult): string =>
  table(Object.entries(messages).map(([node, message]) => ({ node, message })))

const showKeys = ({ keys, primary }: KeyResult): string =>
  table(Object.entries(keys).map(([key, nodes]) => ({ key, nodes, encrypting: primary[key] ?? 0 })))

/** Whether every member confirmed. A member that did not answer would be cut off when the old key is removed. */
const unanimous = ({ members, answered, failed }: KeyResult): boolean =>
  failed === 0 && answered >= members

/** Runs one operation over the whole ring; the exit status tells whether all members confirmed. */
const change = async (
  io: Io,
  options: DaemonOptions,
  path: string,
  body: unknown,
  ended: (status: number) => void,
  text: (result: KeyResult) => string,
): Promise<void> => {
  const { json } = await daemon(options, { method: 'POST', path, body, deadlineMs: 30_000 })
  const result = resultOf(json)
  io.out(options.json ? `${JSON.stringify(json, null, 2)}\n` : text(result) + showMessages(result))
  ended(unanimous(result) ? DONE : FAILED)
}

/** Adds the commands to the program. `ended` gets the exit status. */
export const addKeys = (program: Command, io: Io, ended: (status: number) => void): void => {
  const keys = program.command('keys').description('the encryption keys of the gossip ring')
  withConfig(keys.command('generate'))
    .description('write a keyring with one new key, which only the daemon can read')
    .option('-o, --out <file>', `keyring to write (default: gossip.keyring, or ${KEYRING})`)
    .option('--add', 'add a key to the keyring that is there')
    .option('--print', 'print a new key instead of writing a file')
    .option('--json', 'print it as JSON')
    .action((options: Generate) => generate(io, options))
  for (const [name, description, done] of [
    ['install', 'give a new key to every node; it decrypts from then on', 'installed'],
    ['use', 'let every node encrypt with an installed key', 'in use'],
    ['remove', 'let every node forget a key that is not in use', 'removed'],
  ] as const) {
    withDaemon(keys.command(name))
      .description(description)
      .argument('<key>', "the key in base64, or '-' to read it from standard input")
      .action(async (text: string, options: DaemonOptions) => {
        const key = await keyFrom(io, text)
        await change(
          io,
          options,
          `/v1/keys/${name}`,
          { key },
          ended,
          ({ members, answered, failed }) =>
            `${done} on ${answered - failed} of ${counted(members, 'node', 'nodes')}\n`,
        )
      })
  }
  withDaemon(keys.command('list'))
    .description('the keys in the ring, and how many nodes have each and encrypt with it')
    .action((options: DaemonOptions) =>
      change(io, options, '/v1/keys/list', undefined, ended, showKeys),
    )
  keys.addHelpText(
    'after',
    examples(
      'spartan keys generate',
      'spartan keys generate --print > new.key',
      'spartan keys install - < new.key',
      'spartan keys use - < new.key',
      'spartan keys list',
    ),
  )
}

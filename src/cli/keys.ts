/**
 * `spartan keys`: make a keyring for the gossip ring, and rotate its keys on a
 * running cluster: install the new key everywhere, use it, remove the old one.
 */
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { fail } from '../error.ts'
import type { Io } from './io.ts'
import {
  configOf,
  daemon,
  examples,
  withConfig,
  withDaemon,
  type ConfigOption,
  type DaemonOptions,
} from './options.ts'
import { cell, pairs, table } from './table.ts'

/** Where a keyring goes if nothing else is said. */
const KEYRING = '/etc/spartan/keyring.json'

type Generate = ConfigOption & {
  readonly out?: string
  readonly add?: boolean
  readonly print?: boolean
}

const generate = async (io: Io, options: Generate): Promise<void> => {
  const { generatedKey, loadKeyring, writeKeyringFile } =
    await import('../control/gossip/keyring.ts')
  const key = generatedKey()
  if (options.print) return io.out(`${key}\n`)
  const file = options.out ?? (configOf(options)?.gossip?.keyring || KEYRING)
  const old = existsSync(file)
  if (old && !options.add) {
    throw fail(
      `${file} exists: a new key would cut this node off; --add keeps the keys in it and adds one`,
      'ESTATE',
    )
  }
  // The first key encrypts: a new one goes to the end until every node has it.
  const keys = old ? [...loadKeyring(file).list(), key] : [key]
  writeKeyringFile(file, keys)
  io.out(`${file}: ${keys.length} key${keys.length === 1 ? '' : 's'}, the first encrypts\n`)
}

/** The key of the command line; '-' is read from standard input, where other users of the host do not see it. */
const keyFrom = async (io: Io, text: string): Promise<string> => {
  const { keyOf } = await import('../control/gossip/keyring.ts')
  const key = (text === '-' ? await io.input() : text).trim()
  if (!keyOf(key))
    throw fail(
      'a key is 16, 24 or 32 octets in base64, as "spartan keys generate --print" makes them',
      'EUSAGE',
    )
  return key
}

type Said = {
  readonly keys?: unknown
  readonly primary?: unknown
  readonly nodes?: unknown
  readonly errors?: unknown
}

/** What the ring said: counts of nodes by key, and the nodes that failed. */
const showAnswer = (json: unknown, done: string): string => {
  const { keys, nodes, errors } = (json ?? {}) as Said
  const parts = [done ? `${done}\n` : '']
  if (keys && typeof keys === 'object' && !Array.isArray(keys)) {
    parts.push(table(Object.entries(keys).map(([key, count]) => ({ key, nodes: count }))))
  } else if (Array.isArray(keys)) parts.push(keys.map(key => `${cell(key)}\n`).join(''))
  if (nodes !== undefined && typeof nodes !== 'object') parts.push(pairs([['nodes', nodes]]))
  const failed = errors && typeof errors === 'object' ? Object.entries(errors) : []
  if (failed.length) parts.push(table(failed.map(([node, error]) => ({ node, error }))))
  return parts.join('')
}

/** Add the commands to the program. */
export const addKeys = (program: Command, io: Io): void => {
  const keys = program.command('keys').description('the encryption keys of the gossip ring')
  withConfig(keys.command('generate'))
    .description('write a keyring with one new key, mode 0600')
    .option('-o, --out <file>', `keyring to write (default: gossip.keyring, or ${KEYRING})`)
    .option('--add', 'add a key to the keyring that is there')
    .option('--print', 'print a new key instead of writing a file')
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
        const { json } = await daemon(options, {
          method: 'POST',
          path: `/v1/keys/${name}`,
          body: { key },
          deadlineMs: 30_000,
        })
        io.out(options.json ? `${JSON.stringify(json, null, 2)}\n` : showAnswer(json, done))
      })
  }
  withDaemon(keys.command('list'))
    .description('the keys in the ring, and how many nodes have each')
    .action(async (options: DaemonOptions) => {
      const { json } = await daemon(options, {
        method: 'POST',
        path: '/v1/keys/list',
        deadlineMs: 30_000,
      })
      io.out(options.json ? `${JSON.stringify(json, null, 2)}\n` : showAnswer(json, ''))
    })
  keys.addHelpText(
    'after',
    examples(
      'spartan keys generate --out /etc/spartan/keyring.json',
      'spartan keys generate --print > new.key',
      'spartan keys install - < new.key',
      'spartan keys use - < new.key',
      'spartan keys list',
    ),
  )
}

/** Shared by several commands: parsers for option values, options that select a daemon, and the request to it. */
import { existsSync } from 'node:fs'
import { InvalidArgumentError, type Command } from 'commander'
import type { Endpoint } from '../boundary/messages.ts'
import { parseTarget, type Address } from '../config/address.ts'
import { parseTime, type Parsed } from '../config/units.ts'
import { CONFIG_FILE, readHost, type Config } from '../config/config.ts'
import {
  askDaemon,
  parseAdmin,
  type AdminAnswer,
  type AdminCall,
  type AdminTarget,
} from '../http/admin-client.ts'

const orRefuse = <T>(read: Parsed<T>): T => {
  if ('value' in read) return read.value
  throw new InvalidArgumentError(`${read.problem}.`)
}

/** A whole number, at least `least`. */
export const number =
  (least: number, most = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(
      most === Number.MAX_SAFE_INTEGER
        ? `A whole number from ${least}.`
        : `A whole number from ${least} to ${most}.`,
    )
  }

/** Milliseconds of '5s' or '250ms', at least one. */
export const time = (text: string): number => {
  const ms = orRefuse(parseTime(text))
  if (ms < 1) throw new InvalidArgumentError('Longer than nothing.')
  return ms
}

/** An address to send to, with an optional port. */
export const target = (text: string): Address => orRefuse(parseTarget(text))

/** An address to send to; the default port is 53. */
export const server = (text: string): Endpoint => ({ port: 53, ...target(text) })

const admin = (text: string): AdminTarget => {
  const target = parseAdmin(text)
  if (target) return target
  throw new InvalidArgumentError(
    'A URL such as http://127.0.0.1:62080 or https://agent-1:62080, or the path of a Unix socket.',
  )
}

export type ConfigOption = { readonly config?: string }
export type DaemonOptions = ConfigOption & {
  readonly admin?: AdminTarget
  /** Paths, for a daemon over TCP. */
  readonly token?: string
  readonly ca?: string
  readonly json?: boolean
}

/** Adds the option --config; by default the usual file is read if it exists. */
export const withConfig = (command: Command): Command =>
  command.option(
    '-c, --config <file>',
    `configuration file (default: ${CONFIG_FILE}, if it exists)`,
  )

/** Adds the options of commands that talk to a running daemon. */
export const withDaemon = (command: Command): Command =>
  withConfig(command)
    .option(
      '--admin <where>',
      'the daemon: http://address:port, https://host:port, or the path of its Unix socket',
      admin,
    )
    .option('--token <file>', "the daemon's token, for http and https (default: admin.token)")
    .option('--ca <file>', "certificate authorities for https, PEM (default: Node's own)")
    .option('--json', 'print what the daemon says, as JSON')

/**
 * The configuration; undefined if none is named and the usual file is missing or unusable, because these commands
 * must work while an operator edits the file. Throws ECONFIG for a named file.
 */
export const configOf = async ({ config }: ConfigOption): Promise<Config | undefined> => {
  if (config === undefined && !existsSync(CONFIG_FILE)) return undefined
  // Loaded on demand, so that a daemon started by this command line does not load the YAML library here.
  const { loadConfigFile } = await import('../config/load.ts')
  if (config !== undefined) return loadConfigFile(config, readHost()).config
  try {
    return loadConfigFile(CONFIG_FILE, readHost()).config
  } catch {
    return undefined
  }
}

/** Defaults of admin.socket and admin.listen. */
const DEFAULT_ADMIN: AdminTarget = {
  socket: '/run/spartan/admin.sock',
  listen: { address: '127.0.0.1', port: 62080 },
}

const targetOf = async (options: DaemonOptions): Promise<AdminTarget> => {
  const configured = options.admin ? undefined : (await configOf(options))?.admin
  const { socket, listen } = options.admin ?? configured ?? DEFAULT_ADMIN
  const { ca = '', token = configured?.token ?? '' } = options
  const https = options.admin?.listen?.https ?? (configured?.tls.cert ?? '') !== ''
  return { socket, listen: listen && { ...listen, https, ca, token } }
}

/** Sends a request to the selected daemon. Throws EHTTP, or ECONFIG for a bad --config. */
export const daemon = async (options: DaemonOptions, call: AdminCall): Promise<AdminAnswer> =>
  askDaemon(await targetOf(options), call)

/** The path of the selected daemon's Unix socket; '' if it has none. */
export const socketOf = async (options: DaemonOptions): Promise<string> =>
  (await targetOf(options)).socket

/** A query string of the values that are defined. */
export const search = (values: Readonly<Record<string, string | number | undefined>>): string => {
  const params = new URLSearchParams()
  for (const [key, value] of Object.entries(values))
    if (value !== undefined) params.set(key, String(value))
  return params.size ? `?${params.toString()}` : ''
}

/** Formats examples for the end of a command's help. */
export const examples = (...lines: string[]): string =>
  `\nExamples:\n${lines.map(line => `  $ ${line}\n`).join('')}`

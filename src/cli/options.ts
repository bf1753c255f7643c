/**
 * What several commands have in common: reading option values, the options
 * that say which daemon is meant, and asking that daemon.
 */
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

/** A whole number from `least` on. */
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

/** An address to send to, with or without a port. */
export const target = (text: string): Address => orRefuse(parseTarget(text))

/** An address to send to; the port is 53 if none is named. */
export const server = (text: string): Endpoint => ({ port: 53, ...target(text) })

const admin = (text: string): AdminTarget => {
  const target = parseAdmin(text)
  if (target) return target
  throw new InvalidArgumentError(
    'A URL such as http://127.0.0.1:62080, or the path of a Unix socket.',
  )
}

export type ConfigOption = { readonly config?: string }
export type DaemonOptions = ConfigOption & { readonly admin?: AdminTarget; readonly json?: boolean }

/** The option --config; the usual file is read if it is there. */
export const withConfig = (command: Command): Command =>
  command.option(
    '-c, --config <file>',
    `configuration file (default: ${CONFIG_FILE}, if it exists)`,
  )

/** The options of commands that ask a running daemon. */
export const withDaemon = (command: Command): Command =>
  withConfig(command)
    .option(
      '--admin <where>',
      'the daemon: http://address:port, or the path of its Unix socket',
      admin,
    )
    .option('--json', 'print what the daemon says, as JSON')

/**
 * The configuration that is meant, undefined if none is named and the usual
 * one is absent or unusable: looking at a daemon must work while somebody
 * edits its file. Throws ECONFIG for a named file.
 */
export const configOf = async ({ config }: ConfigOption): Promise<Config | undefined> => {
  if (config === undefined && !existsSync(CONFIG_FILE)) return undefined
  // Loaded when it is needed: a daemon started by this command line does without the YAML library.
  const { loadConfigFile } = await import('../config/load.ts')
  if (config !== undefined) return loadConfigFile(config, readHost()).config
  try {
    return loadConfigFile(CONFIG_FILE, readHost()).config
  } catch {
    return undefined
  }
}

/** The defaults of admin.socket and admin.listen. */
const DEFAULT_ADMIN: AdminTarget = {
  socket: '/run/spartan/admin.sock',
  listen: { address: '127.0.0.1', port: 62080 },
}

/** Ask the daemon that the options mean. Throws EHTTP, or ECONFIG for a bad --config. */
export const daemon = async (options: DaemonOptions, call: AdminCall): Promise<AdminAnswer> =>
  askDaemon(options.admin ?? (await configOf(options))?.admin ?? DEFAULT_ADMIN, call)

/** A query string from what is not undefined. */
export const search = (values: Readonly<Record<string, string | number | undefined>>): string => {
  const given = new URLSearchParams()
  for (const [key, value] of Object.entries(values))
    if (value !== undefined) given.set(key, String(value))
  return given.size ? `?${given.toString()}` : ''
}

/** Examples at the end of a command's help. */
export const examples = (...lines: string[]): string =>
  `\nExamples:\n${lines.map(line => `  $ ${line}\n`).join('')}`

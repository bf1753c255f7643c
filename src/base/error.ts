/**
 * The one way to create an Error in this program: a sentence for the operator, a code that callers compare,
 * and `cause` with the underlying error and any fields to log. Error is never subclassed.
 */

/** Codes that callers compare. Every code is listed here. */
export type Code =
  | 'ECONFIG' // the configuration cannot be used
  | 'EUSAGE' // the command line cannot be used
  | 'EBIND' // an address cannot be bound
  | 'EHTTP' // a control-plane HTTP exchange failed
  | 'EDATA' // a file or an API gave data that cannot be used
  | 'EGOSSIP' // the gossip ring refused or was refused
  | 'EWIRE' // octets that are not a valid message
  | 'ESTATE' // called in a state that does not allow it
  | 'EFATAL' // the thread that threw it cannot go on

export type Coded = Error & { code?: string }

/** Creates an Error with a code. The log prints `fields` beside `cause`. */
export const fail = (
  message: string,
  code: Code,
  fields: { cause?: unknown; [name: string]: unknown } = {},
): Coded => {
  const { cause, ...rest } = fields
  const er: Coded = new Error(message, cause === undefined ? undefined : { cause })
  er.code = code
  return Object.assign(er, rest)
}

/** The code of anything thrown, '' if it has none. */
export const codeOf = (er: unknown): string =>
  er instanceof Error && typeof (er as Coded).code === 'string' ? ((er as Coded).code ?? '') : ''

/** The message of a thrown value, whether or not it is an Error. */
export const messageOf = (er: unknown): string => (er instanceof Error ? er.message : String(er))

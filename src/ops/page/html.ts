/**
 * HTML templates that always escape: values in an `html` template are treated as text unless they come from `html`
 * themselves.
 */

/** A piece of finished markup. */
export class Html {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** Allowed values in a template. undefined, false and '' produce nothing. */
export type Piece = Html | string | number | false | undefined | readonly Piece[]

const ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Escapes text for use between tags and in quoted attributes. */
export const escaped = (text: string): string => text.replace(/[&<>"']/g, c => ESCAPES[c] ?? '')

const textOf = (piece: Piece): string => {
  if (piece === undefined || piece === false) return ''
  if (piece instanceof Html) return piece.text
  if (typeof piece === 'object') return piece.map(textOf).join('')
  return escaped(String(piece))
}

/** Markup from a template; see Piece. Attribute values must be quoted. */
export const html = (parts: TemplateStringsArray, ...pieces: readonly Piece[]): Html =>
  new Html(parts.map((part, i) => (i === 0 ? part : textOf(pieces[i - 1]) + part)).join(''))

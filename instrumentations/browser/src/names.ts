/** Names that the page or an address gives. */

const LONGEST = 128;
const SERVER = /^[a-z][a-z0-9+.-]*:\/\/[^/]*/i;

/**
 * Return a name to show: of an address or a path its last part, without the query, which may be a secret.
 *
 * Whole contents (`data:`) have no name.
 */
export function shownName(given: string): string {
  const [plain = ""] = given.split(/[?#]/, 1);
  if (/^data:/i.test(plain)) return "";
  const isAddress = SERVER.test(plain) || /^(?:blob:|\.{0,2}\/)/i.test(plain);
  const name = isAddress ? plain.replace(SERVER, "").split("/").pop() : plain;
  return (name ?? "").slice(0, LONGEST);
}

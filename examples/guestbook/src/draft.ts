/** What somebody wrote into the form, before it is known to be an entry. */

/** The longest name and message, in characters. The form says the same. */
export const NAME_MAX = 60;
export const MESSAGE_MAX = 500;

/** The fields as they came: text, files or nothing. */
export interface Draft {
  name?: unknown;
  message?: unknown;
}

/** What is wrong with which field, in words for the page. */
export interface Problems {
  name?: string;
  message?: string;
}

export type Checked = { ok: true; name: string; message: string } | { ok: false; problems: Problems };

/** The text of a field; a file or a missing field is empty. */
export function fieldText(value: unknown): string {
  return typeof value === "string" ? value : "";
}

export function checkEntry(draft: Draft): Checked {
  const name = fieldText(draft.name).trim();
  const message = fieldText(draft.message).replaceAll("\r\n", "\n").trim();
  const problems: Problems = {};
  if (name === "") problems.name = "Please say who you are.";
  if ([...name].length > NAME_MAX) problems.name = `Please keep it to ${NAME_MAX} characters.`;
  if (message === "") problems.message = "Please write something.";
  if ([...message].length > MESSAGE_MAX) problems.message = `Please keep it to ${MESSAGE_MAX} characters.`;
  return problems.name || problems.message ? { ok: false, problems } : { ok: true, name, message };
}

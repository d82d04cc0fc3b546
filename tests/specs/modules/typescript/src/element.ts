type Props = Record<string, string> | null;
export function element(name: string, props: Props, ...children: unknown[]): string {
  const attributes = Object.entries(props ?? {}).map(([key, value]) => ` ${key}="${value}"`);
  return `<${name}${attributes.join("")}>${children.join("")}</${name}>`;
}

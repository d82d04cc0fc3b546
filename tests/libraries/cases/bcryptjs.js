import bcrypt from "bcryptjs";
export default async () => {
  const hash = await bcrypt.hash("secret", 4);
  return [await bcrypt.compare("secret", hash), await bcrypt.compare("other", hash)];
};
export const expected = [true, false];

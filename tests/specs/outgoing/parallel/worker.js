export default {
  async fetch(request, env) {
    const numbers = [...Array(20).keys()];
    const answers = await Promise.all(
      numbers.map(async (number) => (await fetch(`${env.ORIGIN}/echo/${number}`)).json()),
    );
    return Response.json([answers.length, answers.every(({ path }, number) => path === `/echo/${number}`)]);
  },
};

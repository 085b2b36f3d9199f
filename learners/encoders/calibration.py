"""Texts to calibrate a quantised encoder by: made up, of many subjects and lengths, the same on every machine."""

import random
from collections.abc import Iterator

SUBJECTS = {
    "the patient": "fever, joint pain, a rash on both arms, shortness of breath, anaemia, raised creatinine, seizures",
    "the trial": "a placebo group, 214 participants, hazard ratio 0.71, p < 0.01, two withdrawals, dose reduction",
    "this drug": "nausea, better sleep, weight gain, dry mouth, no effect at all, 20 mg twice a day, headaches",
    "the bank": "a declined card, the exchange rate, a pending transfer, my PIN, an unknown fee, a lost passport",
    "the assistant": "wake me at 7:30, turn off the lights, play some jazz, what's the weather, add milk to the list",
    "the government": "new taxes, the election, a vote in parliament, sanctions, public debt, a border dispute",
    "the team": "a late goal, three injuries, the away match, a record transfer, extra time, the 2009 season",
    "the film": "a weak plot, brilliant acting, too long, a moving score, dull dialogue, the worst ending ever",
    "the server": "a stack trace, HTTP 500, memory leak in v2.4.1, a deadlock, TypeError: None is not iterable",
    "the company": "quarterly earnings of $3.2bn, layoffs, a merger, rising costs, shares down 4%, a recall",
    "the experiment": "quantum entanglement, graphene films, 300 K, spectral lines, a control sample, gene expression",
    "my order": "never arrived, wrong size, five stars, broken on day one, great value!!!, refund please",
    "the recipe": "two cups of flour, a pinch of salt, 180 degrees, olive oil, let it rest overnight",
    "the river": "floods, migrating birds, glaciers, a bridge built in 1874, drought, the valley below",
}
TALK = (
    "thanks a lot.|thank you!|ok|oh, that's nice.|yes, you got it right.|no, stop it.|hello there|"
    "could you repeat that?|sorry, I meant the other one.|well done, I like it.|"
    "I don't care, really.|are you sure about this?|good night.|"
    "please check that once more.|what do you mean|never mind.|that was wrong, cancel.|who?|how does it work?|bye"
)
OPENINGS = "We saw|There was|I asked about|Nobody expected|Reports mention|Why is there|In 1998 they found|Please check"
LINKS = "and then|because of|in spite of|together with|which led to|, but not|as well as|compared with|; later"
OTHERS = (
    "Der Patient klagt seit drei Tagen über Fieber und Kopfschmerzen.|Wo bleibt meine Bestellung?|"
    "Die Mannschaft hat in der Nachspielzeit verloren, obwohl sie lange führte.|"
    "Le gouvernement a annoncé une réforme des retraites.|Ce film est trop long, mais les acteurs sont formidables.|"
    "¿Por qué han rechazado mi tarjeta?|El ensayo clínico no mostró diferencias significativas entre los grupos.|"
    "O servidor parou de responder depois da atualização.|Il fiume ha superato gli argini durante la notte.|"
    "我的包裹还没有到。|病人发烧三天，伴有咳嗽和头痛。|会議は明日の午後三時に始まります。|"
    "Погода завтра будет дождливой.|Команда проиграла в дополнительное время.|"
    "التقرير يشير إلى ارتفاع الأسعار هذا العام.|배송이 너무 늦어요.|"
    "Hasta bugün kendini daha iyi hissediyor.|Zespół badawczy opublikował wyniki w marcu.|मौसम आज बहुत गर्म है।"
)


def made_up_texts(n: int, seed: int = 0) -> list[str]:
    """Return n texts of one to a few hundred words, one in eight in another language than English."""
    draw = random.Random(seed)
    return [_text(draw, i) for i in range(n)]


def _text(draw: random.Random, i: int) -> str:
    if i % 8 == 7:
        return " ".join(draw.sample(OTHERS.split("|"), draw.choice((1, 1, 2, 6))))
    if i % 8 == 6:
        return draw.choice(TALK.split("|"))
    if i % 8 == 5:
        return draw.choice(draw.choice(list(SUBJECTS.values())).split(", "))
    subject = draw.choice(list(SUBJECTS))
    return " ".join(_sentences(draw, subject, draw.choice((1, 1, 1, 2, 4, 8, 16))))


def _sentences(draw: random.Random, subject: str, n: int) -> Iterator[str]:
    for _ in range(n):
        other = draw.choice(list(SUBJECTS))
        one, more = (draw.choice(SUBJECTS[each].split(", ")) for each in (subject, draw.choice((subject, other))))
        opening, link = draw.choice(OPENINGS.split("|")), draw.choice(LINKS.split("|"))
        yield draw.choice((f"{opening} {one} {link} {more}.", f"{subject.capitalize()}: {one} {link} {other}?"))

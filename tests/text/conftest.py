"""Text in several scripts, and a tokenizer learned from it."""

from __future__ import annotations

import pytest

from keras_transformer.text.byte_pieces import BytePieceTokenizer
from keras_transformer.text.learn import learn_pieces

SENTENCES = [
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    "Two young, White males are outside near many bushes.",
    "Δύο νεαροί λευκοί άνδρες είναι έξω κοντά σε πολλούς θάμνους.",
    "Двое молодых белых мужчин на улице возле множества кустов.",
    "شابان أبيضان في الخارج بالقرب من العديد من الشجيرات.",
    "दो युवा गोरे पुरुष कई झाड़ियों के पास बाहर हैं।",
    "二人の若い白人男性が、たくさんの茂みの近くで外にいます。",
    "两名年轻的白人男子在户外靠近许多灌木丛。",
    "두 명의 젊은 백인 남자가 많은 덤불 근처 밖에 있다.",
    "👩‍👩‍👧‍👦 family, e\u0301 and é, 🇩🇪 flags, ½ + ⅓",
    'x = "##" + [UNK] <unk> <pad>  \t\r\n 1234567890 0.5%',
]


@pytest.fixture(scope="session")
def sentences() -> list[str]:
    return SENTENCES


@pytest.fixture(scope="session")
def tokenizer() -> BytePieceTokenizer:
    # Told twice and cut short in between, so that most words are merged and some only in part.
    return learn_pieces([*SENTENCES, *SENTENCES, *(line[::2] for line in SENTENCES)])
